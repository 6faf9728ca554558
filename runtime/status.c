/* status.c - the words for status codes, and the version: what an engine
 * prints when something was refused. Constant texts, so they are valid in any
 * thread and after sphkv_close. */
#include "base.h"

const char *sphkv_status_text(sphkv_status status)
{
    switch (status) {
    case SPHKV_OK:
        return "ok";
    case SPHKV_EINVAL:
        return "invalid input";
    case SPHKV_ENOMEM:
        return "out of memory";
    case SPHKV_EUNSUPPORTED:
        return "not supported";
    case SPHKV_ENOTFOUND:
        return "not found";
    case SPHKV_EIO:
        return "input or output failed";
    case SPHKV_EDB:
        return "database damaged, foreign or too new";
    case SPHKV_ECOMPILE:
        return "compiler failed or not available";
    case SPHKV_EVERIFY:
        return "result is wrong";
    case SPHKV_EDEVICE:
        return "device not available";
    case SPHKV_EINTERNAL:
        return "defect in sphkv";
    }
    return "unknown status";
}

const char *sphkv_version(void) { return SPHKV_VERSION_TEXT; }
