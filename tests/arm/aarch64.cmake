# aarch64.cmake - builds for AArch64 on another machine: Debian's cross compiler, and
# SPHKV_ARM_ROOT with the libraries of the other architecture (arm.sh makes it). Tests
# run under qemu's user mode.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_SYSROOT $ENV{SPHKV_ARM_ROOT})
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH $ENV{SPHKV_ARM_ROOT})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_CROSSCOMPILING_EMULATOR "qemu-aarch64;-L;$ENV{SPHKV_ARM_ROOT}")
# Debian 12's cross gcc 12.2 stops with an internal error where it vectorizes.
set(CMAKE_C_FLAGS_INIT "-fno-tree-vectorize")
