#include "stub.h"

#include <onnxruntime_c_api.h>
#include <stdlib.h>
#include <string.h>

enum { most = 16 };

struct stub_session {
    OrtSession *session;
    size_t inputs, outputs;
    char *input_names[most], *output_names[most];
    OrtValue *values[most], *made[most];
};

static char message[1000];
static const OrtApi *api;
static OrtEnv *environment;

static bool ok(OrtStatus *status) {
    if (!status) return true;
    strncpy(message, api->GetErrorMessage(status), sizeof message - 1);
    api->ReleaseStatus(status);
    return false;
}

const char *stub_error(void) { return message; }

static bool names(stub_session *s) {
    OrtAllocator *allocator;
    if (!ok(api->GetAllocatorWithDefaultOptions(&allocator)) || !ok(api->SessionGetInputCount(s->session, &s->inputs)) ||
        !ok(api->SessionGetOutputCount(s->session, &s->outputs)))
        return false;
    for (size_t i = 0; i < s->inputs && i < most; ++i)
        if (!ok(api->SessionGetInputName(s->session, i, allocator, &s->input_names[i]))) return false;
    for (size_t i = 0; i < s->outputs && i < most; ++i)
        if (!ok(api->SessionGetOutputName(s->session, i, allocator, &s->output_names[i]))) return false;
    return true;
}

stub_session *stub_open(const char *path) {
    if (!api) {
        api = OrtGetApiBase()->GetApi(ORT_API_VERSION);
        if (!ok(api->CreateEnv(ORT_LOGGING_LEVEL_ERROR, "stub", &environment))) return NULL;
    }
    stub_session *s = calloc(1, sizeof *s);
    OrtSessionOptions *options;
    if (s && ok(api->CreateSessionOptions(&options))) {
        const bool opened = ok(api->CreateSession(environment, path, options, &s->session)) && names(s);
        api->ReleaseSessionOptions(options);
        if (opened) return s;
    }
    free(s);
    return NULL;
}

bool stub_feed(stub_session *s, const char *name, const float *values, const int64_t *shape, size_t axes) {
    OrtAllocator *allocator;
    size_t count = 1;
    float *held;
    for (size_t i = 0; i < axes; ++i) count *= (size_t)shape[i];
    for (size_t i = 0; i < s->inputs; ++i) {
        if (strcmp(s->input_names[i], name) != 0) continue;
        if (s->values[i]) api->ReleaseValue(s->values[i]);
        s->values[i] = NULL;
        if (!ok(api->GetAllocatorWithDefaultOptions(&allocator)) ||
            !ok(api->CreateTensorAsOrtValue(allocator, shape, axes, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, &s->values[i])) ||
            !ok(api->GetTensorMutableData(s->values[i], (void **)&held)))
            return false;
        memcpy(held, values, count * sizeof *values);
        return true;
    }
    strncpy(message, "no such input", sizeof message - 1);
    return false;
}

static void forget_outputs(stub_session *s) {
    for (size_t i = 0; i < s->outputs; ++i) {
        if (s->made[i]) api->ReleaseValue(s->made[i]);
        s->made[i] = NULL;
    }
}

bool stub_run(stub_session *s) {
    forget_outputs(s);
    return ok(api->Run(s->session, NULL, (const char *const *)s->input_names, (const OrtValue *const *)s->values, s->inputs,
                       (const char *const *)s->output_names, s->outputs, s->made));
}

void stub_close(stub_session *s) {
    forget_outputs(s);
    for (size_t i = 0; i < s->inputs; ++i)
        if (s->values[i]) api->ReleaseValue(s->values[i]);
    api->ReleaseSession(s->session);
    free(s);
}

size_t stub_outputs(const stub_session *s) { return s->outputs; }

const char *stub_name(const stub_session *s, size_t output) { return s->output_names[output]; }

size_t stub_count(const stub_session *s, size_t output) {
    OrtTensorTypeAndShapeInfo *info;
    size_t count = 0;
    if (ok(api->GetTensorTypeAndShape(s->made[output], &info))) {
        ok(api->GetTensorShapeElementCount(info, &count));
        api->ReleaseTensorTypeAndShapeInfo(info);
    }
    return count;
}

const float *stub_values(const stub_session *s, size_t output) {
    float *values = NULL;
    ok(api->GetTensorMutableData(s->made[output], (void **)&values));
    return values;
}
