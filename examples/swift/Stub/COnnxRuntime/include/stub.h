// A narrow door to ONNX Runtime's C interface for Swift.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct stub_session stub_session;

stub_session *stub_open(const char *path);
void stub_close(stub_session *session);
bool stub_feed(stub_session *session, const char *name, const float *values, const int64_t *shape, size_t axes);
bool stub_run(stub_session *session);
size_t stub_outputs(const stub_session *session);
const char *stub_name(const stub_session *session, size_t output);
size_t stub_count(const stub_session *session, size_t output);
const float *stub_values(const stub_session *session, size_t output);
const char *stub_error(void);
