/* db_build.h - sphkv-db build: the command line of a prebuild, and its result. */
#ifndef SK_DB_BUILD_H
#define SK_DB_BUILD_H

/* argv[1] is "build"; the exit code. */
int sk_db_build(int argc, char **argv);

#endif
