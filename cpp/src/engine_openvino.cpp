#include <algorithm>
#include <cctype>
#include <cstring>
#include <openvino/openvino.hpp>

#include "cgsam/errors.hpp"
#include "engine.hpp"

namespace cgsam {
namespace {

class OpenVinoSession final : public Session {
public:
    OpenVinoSession(ov::CompiledModel model, const GraphSpec& graph) : model_(std::move(model)), graph_(graph) {}

    std::vector<std::vector<float>> run(const std::vector<const std::vector<float>*>& inputs) override {
        ov::InferRequest request = model_.create_infer_request();
        for (std::size_t i = 0; i < inputs.size(); ++i) {
            const Shape& shape = graph_.inputs[i].shape;
            const ov::Shape wanted(shape.begin(), shape.end());
            request.set_tensor(graph_.inputs[i].name, ov::Tensor(ov::element::f32, wanted, const_cast<float*>(inputs[i]->data())));
        }
        request.infer();
        std::vector<std::vector<float>> out;
        for (const auto& tensor : graph_.outputs) {
            const ov::Tensor value = request.get_tensor(tensor.name);
            if (value.get_element_type() != ov::element::f32) throw BackendError("an output is not float32");
            out.emplace_back(value.data<const float>(), value.data<const float>() + value.get_size());
        }
        return out;
    }

private:
    ov::CompiledModel model_;
    const GraphSpec graph_;
};

class OpenVinoEngine final : public Engine {
public:
    OpenVinoEngine(int threads, std::string device) : threads_(threads), device_(std::move(device)) {
        std::transform(device_.begin(), device_.end(), device_.begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
    }

    std::unique_ptr<Session> open(const std::filesystem::path& path, const GraphSpec& graph) override {
        ov::AnyMap options{{ov::hint::performance_mode.name(), ov::hint::PerformanceMode::LATENCY}};
        if (device_ == "CPU") {  // which would take bfloat16 in silence where it has it
            options[ov::hint::inference_precision.name()] = ov::element::f32;
            if (threads_ > 0) options[ov::inference_num_threads.name()] = threads_;
        }
        return std::make_unique<OpenVinoSession>(core_.compile_model(core_.read_model(path.u8string()), device_, options), graph);
    }

private:
    ov::Core core_;
    int threads_;
    std::string device_;
};

}  // namespace

std::unique_ptr<Engine> make_engine(int threads, const std::string& device) { return std::make_unique<OpenVinoEngine>(threads, device); }

std::string engine_version() { return std::string("openvino ") + ov::get_openvino_version().buildNumber; }

std::vector<std::string> engine_targets() { return {"openvino", "onnxruntime"}; }

}  // namespace cgsam
