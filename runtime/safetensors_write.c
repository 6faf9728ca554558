/* safetensors_write.c - the writer. The file is put together in memory and
 * written at once, so that a reader sees all of it or none. Tensors stand in
 * the order given, notes first; the header is padded so that data begin at a
 * multiple of 64. */
#include <string.h>

#include "safetensors.h"

static void put_string(sk_text *out, const char *s)
{
    sk_text_append(out, "\"", 1);
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\')
            sk_text_printf(out, "\\%c", c);
        else if (c < 32)
            sk_text_printf(out, "\\u%04x", c);
        else
            sk_text_append(out, s, 1);
    }
    sk_text_append(out, "\"", 1);
}

static void put_notes(sk_text *out, const sk_tensor_note *note, uint32_t notes)
{
    sk_text_printf(out, "\"__metadata__\":{");
    for (uint32_t i = 0; i < notes; i++) {
        if (i)
            sk_text_append(out, ",", 1);
        put_string(out, note[i].key);
        sk_text_append(out, ":", 1);
        put_string(out, note[i].value);
    }
    sk_text_append(out, "}", 1);
}

static size_t tensor_bytes(const sk_tensor *t)
{
    size_t n = sk_tensor_dtype_bytes(t->dtype);
    for (uint32_t i = 0; i < t->ndim; i++)
        n *= t->dims[i];
    return n;
}

static void put_header(sk_text *out, const sk_tensor *tensor, uint32_t tensors,
                       const sk_tensor_note *note, uint32_t notes)
{
    size_t at = 0;
    sk_text_append(out, "{", 1);
    if (notes)
        put_notes(out, note, notes);
    for (uint32_t i = 0; i < tensors; i++) {
        const sk_tensor *t = &tensor[i];
        size_t bytes = tensor_bytes(t);
        if (i || notes)
            sk_text_append(out, ",", 1);
        put_string(out, t->name);
        sk_text_printf(out, ":{\"dtype\":\"%s\",\"shape\":[", sk_tensor_dtype_name(t->dtype));
        for (uint32_t d = 0; d < t->ndim; d++)
            sk_text_printf(out, "%s%llu", d ? "," : "", (unsigned long long)t->dims[d]);
        sk_text_printf(out, "],\"data_offsets\":[%zu,%zu]}", at, at + bytes);
        at += bytes;
    }
    sk_text_append(out, "}", 1);
    while (!out->failed && (out->len + 8) % 64)
        sk_text_append(out, " ", 1);
}

sk_status sk_safetensors_write(const char *path, const sk_tensor *tensor, uint32_t tensors,
                               const sk_tensor_note *note, uint32_t notes, sk_err *err)
{
    sk_text header = {0}, file = {0};
    put_header(&header, tensor, tensors, note, notes);
    char length[8];
    for (uint32_t i = 0; i < 8; i++)
        length[i] = (char)((uint64_t)header.len >> 8 * i & 255);
    sk_text_append(&file, length, 8);
    if (header.failed)
        file.failed = true;
    else
        sk_text_append(&file, header.s, header.len);
    for (uint32_t i = 0; i < tensors; i++)
        sk_text_append(&file, (const char *)tensor[i].data, tensor_bytes(&tensor[i]));
    sk_status st = file.failed ? sk_fail(err, SPHKV_ENOMEM, "out of memory writing %s", path)
                               : sk_file_write(path, file.s, file.len, err);
    sk_text_free(&header);
    sk_text_free(&file);
    return st;
}
