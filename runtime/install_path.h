/* install_path.h - where the installed databases are: PREFIX/share/sphkv/db,
 * with PREFIX found from the place of the library (or program) that holds this
 * code, so that a tree that was moved or never installed still works. A path
 * fixed at build time was rejected for that reason. */
#ifndef SK_INSTALL_PATH_H
#define SK_INSTALL_PATH_H

#include "base.h"

/* dir/../share/sphkv/db of the folder of this code, whether or not it exists.
 * The caller frees *path with sk_free. SPHKV_ENOTFOUND when the place of this
 * code cannot be told. */
sk_status sk_install_db_dir(char **path, sk_err *err);

#endif
