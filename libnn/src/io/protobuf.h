/* SPDX-License-Identifier: MIT
 *
 * Writing messages of Protocol Buffers: a message is its fields, each a number and a kind followed by the
 * value. What is needed of that to write an ONNX model is less than what a generated one needs around it, and
 * this way weights go from the model to the file without a copy.
 *
 * Format: https://protobuf.dev/programming-guides/encoding/
 */
#ifndef NNI_PROTOBUF_H
#define NNI_PROTOBUF_H

#include "data/data.h"

/* A field of kind int32, int64, bool or enum; one of kind float. */
void nni_protobuf_int(nni_buffer *b, int field, int64_t value);
void nni_protobuf_float(nni_buffer *b, int field, float value);
/* A string; a message, which `inner` holds and loses. */
void nni_protobuf_text(nni_buffer *b, int field, const char *text);
void nni_protobuf_message(nni_buffer *b, int field, nni_buffer *inner);
/* What stands before the `size` bytes of a string, of bytes or of a message. */
void nni_protobuf_head(nni_buffer *b, int field, uint64_t size);

#endif
