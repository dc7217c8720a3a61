#ifdef __MINGW32__  // whose headers lack some of Microsoft's words
#include <specstrings.h>
#ifndef _stdcall
#define _stdcall __stdcall
#endif
#ifndef _Return_type_success_
#define _Return_type_success_(condition)
#endif
#ifndef _Frees_ptr_opt_
#define _Frees_ptr_opt_
#endif
#ifndef _Outptr_result_buffer_maybenull_
#define _Outptr_result_buffer_maybenull_(size)
#endif
#endif
#include <onnxruntime_cxx_api.h>

#include "cgsam/errors.hpp"
#include "engine.hpp"

namespace cgsam {
namespace {

class OrtSession final : public Session {
public:
    OrtSession(Ort::Session session, const GraphSpec& graph) : session_(std::move(session)), graph_(graph) {
        for (const auto& tensor : graph_.inputs) inputs_.push_back(tensor.name.c_str());
        for (const auto& tensor : graph_.outputs) outputs_.push_back(tensor.name.c_str());
    }

    std::vector<std::vector<float>> run(const std::vector<const std::vector<float>*>& inputs) override {
        const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
        std::vector<Ort::Value> values;
        for (std::size_t i = 0; i < inputs.size(); ++i) {
            auto* data = const_cast<float*>(inputs[i]->data());  // the interface has no const; nothing is written
            const Shape& shape = graph_.inputs[i].shape;
            values.push_back(Ort::Value::CreateTensor<float>(memory, data, inputs[i]->size(), shape.data(), shape.size()));
        }
        auto made = session_.Run(Ort::RunOptions{nullptr}, inputs_.data(), values.data(), values.size(), outputs_.data(), outputs_.size());
        std::vector<std::vector<float>> out;
        for (auto& value : made) {
            const auto info = value.GetTensorTypeAndShapeInfo();
            if (info.GetElementType() != ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT) throw BackendError("an output is not float32");
            const float* data = value.GetTensorData<float>();
            out.emplace_back(data, data + info.GetElementCount());
        }
        return out;
    }

private:
    Ort::Session session_;
    const GraphSpec graph_;
    std::vector<const char*> inputs_, outputs_;
};

class OrtEngine final : public Engine {
public:
    OrtEngine(int threads, const std::string& device) : environment_(ORT_LOGGING_LEVEL_ERROR, "cgsam") {
        if (device != "cpu") throw BackendError("this library was built for ONNX Runtime's CPU provider; it has no device '" + device + "'.");
        environment_.DisableTelemetryEvents();
        if (threads > 0) options_.SetIntraOpNumThreads(threads);
    }

    std::unique_ptr<Session> open(const std::filesystem::path& path, const GraphSpec& graph) override {
        return std::make_unique<OrtSession>(Ort::Session(environment_, path.c_str(), options_), graph);
    }

private:
    Ort::Env environment_;
    Ort::SessionOptions options_;
};

}  // namespace

std::unique_ptr<Engine> make_engine(int threads, const std::string& device) { return std::make_unique<OrtEngine>(threads, device); }

std::string engine_version() { return std::string("onnxruntime ") + OrtGetApiBase()->GetVersionString(); }

std::vector<std::string> engine_targets() { return {"onnxruntime"}; }

}  // namespace cgsam
