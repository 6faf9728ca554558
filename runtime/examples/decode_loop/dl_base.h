/* dl_base.h - the small things that every part of decode_loop needs: errors as
 * one line, zeroed memory, a clock, reproducible numbers.
 *
 * decode_loop stands where an engine stands: of this project it sees sphkv.h
 * and nothing else, so what the library has inside is written again here, as
 * small as the job allows. Errors use the library's own struct, so that a
 * failure of either travels the same way to the one place that prints. */
#ifndef DL_BASE_H
#define DL_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sphkv.h"

#define DL_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Sets the line and gives back the status; err may be NULL. */
sphkv_status dl_fail(sphkv_error *err, sphkv_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* First of all: 0, 1 and 2 are open, and what cannot be written is an error of
 * the write, not the end of the process. */
void dl_begin(void);
/* Last of all: whether everything that was printed has arrived. */
sphkv_status dl_written(sphkv_error *err);

/* Zeroed memory for `count` things, freed with free(); false and an error when
 * there is none. The place is left alone when an earlier call of a row failed,
 * so a row of allocations needs one check at its end. */
bool dl_new(void *place, size_t count, size_t size, sphkv_status *status, sphkv_error *err);

/* Zeroed pages of the operating system, in huge ones where it has them. */
void *dl_pages_map(size_t bytes);
void dl_pages_unmap(void *at, size_t bytes);

/* Zeroed memory, aligned to 64 bytes, freed with free(); NULL when there is none. */
void *dl_workspace(size_t bytes);

double dl_seconds(void);

/* `n` numbers of about a normal distribution times `scale`, the same for the
 * same key on every machine. */
void dl_normal(uint64_t key, float scale, size_t n, float *out);
/* A key from a seed and three places. */
uint64_t dl_key(uint64_t seed, uint64_t a, uint64_t b, uint64_t c);

float dl_half(uint16_t bits); /* f16 to f32 */

/* Reads a whole file; *text gets a NUL behind its bytes; free() it. */
sphkv_status dl_file_read(const char *path, size_t limit, char **text, size_t *bytes,
                          sphkv_error *err);

/* Whether a library whose name holds `part` is mapped into this process: 1, 0,
 * or -1 when the system does not tell. */
int dl_library_mapped(const char *part);

#endif
