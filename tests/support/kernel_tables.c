/* kernel_tables.c - the rows that kernels are tried on, table by table: what each is
 * for stands in the test of that name. */
#include "kernel_tables.h"

#include <string.h>

/* ---- books --------------------------------------------------------------------------- */

#define A "attn_decode "
#define E "kv_encode "
#define T " qf32 of32 if32 tight "
#define MEAN " mean"
#define PERM " permutation"
#define TURN " transform"
#define HADA " hadamard"
#define P "page_decode "

static const kernel_row books[] = {
    {A "d64 v64 h4 p64 l1" T "good:vi8,kf16:vf16" MEAN, "", 0},
    {A "d64 v64 h3 p64 l1" T "good:vi8,kf16:vf16" PERM, "", 0},
    {A "d96 v96 h2 p64 l1" T "good:vi8,kf16:vf16" MEAN PERM, "", 0},
    {A "d64 v64 h3 p64 l1" T "good:vi8,kf16:vf16" MEAN PERM, "lut_build=separate", 0},
    {A "d64 v64 h5 p64 l1" T "good:vi8,kf16:vf16" MEAN PERM, "lut=rows,lut_build=separate", 0},
    {A "d64 v64 h2 p64 l1" T "mid:vi8,kf16:vf16" MEAN PERM, "lut=perm,lut_build=separate", 0},
    {A "d64 v64 h9 p64 l1" T "high:vi8,kf16:vf16" MEAN PERM, "", 0},
    {A "d64 v64 h6 p32 l0" T "high:vf16,kbf16:vf16" MEAN PERM, "w=4", 128},
    {A "d64 v64 h2 p64 l1" T "mid:vi8,kf16:vf16" MEAN PERM, "w=16,lut=perm", 512},
    {A "d64 v64 h3 p64 l1" T "good:vi8,kf16:vf16" MEAN PERM, "w=16,lut=rows", 512},
    {A "d64 v64 h3 p32 l1" T "good:vi8,lean:vi8,low:vi8,kbf16:vf16" MEAN PERM, "", 0},
    {A "d64 v64 h2 p64 l0" T "kf16:vf16,good:vi8,high:vf16" MEAN PERM, "", 0},
    {A "d96 v64 h1 p64 l1" T "good:vi8" MEAN PERM, "", 0},
    {A "d48 v48 h4 p16 l0" T "g2b4r8s16:vf32,kf32:vf32" MEAN PERM, "", 0},
    {A "d64 v64 h4 p64 l1 qf32 of32 if32 exact good:vi8,kf16:vf16" MEAN PERM, "", 0},
    {A "d64 v64 h2 p32 l1 qf16 of32 if32 tight good:vi8,kf16:vf16" MEAN PERM, "", 0},
    {A "d64 v64 h2 p32 l1 qbf16 of32 if32 tight fine:vi8,kf16:vf16" MEAN PERM, "", 0},
    {E "d64 v64 h1 p64 l1" T "good:vi8,kf16:vf16" MEAN, "", 0},
    {E "d64 v64 h1 p64 l1" T "high:vi8,kf16:vf16" PERM, "", 0},
    {E "d96 v96 h1 p64 l1" T "good:vi8,kf16:vf16" MEAN PERM, "", 0},
    {E "d64 v64 h1 p64 l0" T "g2b4r8s16:vf16,kf32:vf32" MEAN PERM, "", 0},
    {E "d96 v96 h1 p32 l1" T "g8b5r4:vi8,kbf16:vf16" MEAN PERM, "w=4,etok=1", 0},
    {E "d64 v64 h1 p64 l1" T "mid:vi8,kf16:vf16" MEAN PERM, "w=16,etok=2", 512},
    {A "d64 v64 h4 p64 l1" T "good:vi8,kf16:vf16" TURN, "", 0},
    {A "d64 v32 h3 p64 l1" T "good:vi8,kf16:vf16" HADA, "", 0},
    {A "d96 v32 h2 p64 l1" T "good:vi8,high:vi8,kf16:vf16" MEAN PERM TURN, "", 0},
    {A "d128 v32 h2 p64 l1" T "g16b8x2r16sD:vi8" MEAN PERM HADA, "", 0},
    {A "d64 v32 h5 p64 l1" T "good:vi8,kf16:vf16" MEAN PERM HADA, "lut=rows,lut_build=separate", 0},
    {A "d64 v32 h2 p64 l1" T "mid:vi8,kf16:vf16" MEAN PERM TURN, "lut=perm,lut_build=separate", 0},
    {A "d64 v32 h18 p64 l1" T "high:vi8,kf16:vf16" MEAN PERM TURN, "lut=rebuild", 0},
    {A "d64 v32 h2 p64 l1" T "lean:vi8,g8b6x2r16sD:vi8" MEAN HADA, "w=16,lut=rebuild,ktok=2", 512},
    {A "d16 v16 h4 p16 l0" T "g2b4r8s16:vf32,kf32:vf32" HADA, "w=4", 128},
    {A "d64 v64 h4 p64 l1 qf32 of32 if32 exact good:vf32,kf32:vf32" MEAN PERM HADA, "w=8", 256},
    {A "d64 v64 h4 p64 l1 qf16 of32 if32 exact good:vf32,kf32:vf32" MEAN PERM TURN " queries", "", 0},
    {A "d64 v32 h4 p64 l1 qf32 of32 if32 fast good:vi8" HADA, "lut=byte", 512},
    {A "d64 v32 h2 p32 l1" T "sharp:vi8,kf16p:vf16" MEAN PERM HADA, "", 0},
    {A "d48 v32 h2 p32 l1" T "g4b8r16sDp:vi8,good:vi8" MEAN TURN, "", 0},
    {A "d64 v64 h2 p32 l1" T "good:vk,kf16:vk" MEAN PERM HADA, "", 0},
    {A "d64 v64 h2 p32 l1" T "lean:vk" TURN, "", 0},
    {A "d96 v32 h2 p64 l1" T "64@good+32@high:vi8,kf16:vf16" MEAN PERM TURN, "", 0},
    {A "d64 v32 h2 p64 l1" T "32@good+32@high:vi8,good:vi8" MEAN HADA, "lut=rebuild", 0},
    {E "d64 v32 h1 p64 l1" T "good:vi8,kf16:vf16" TURN, "", 0},
    {E "d64 v32 h1 p64 l1" T "high:vi8,kf16:vf16" MEAN PERM HADA, "", 0},
    {E "d96 v32 h1 p32 l1" T "g8b5x2r4:vi8,kbf16:vf16" MEAN PERM TURN, "w=4,etok=1", 0},
    {E "d64 v32 h1 p64 l1" T "mid:vi8,kf16:vf16" MEAN PERM HADA, "w=16,etok=2", 512},
    {E "d64 v32 h1 p48 l0" T "32@good+32@high:vi8,kf32:vf32" MEAN HADA, "", 0},
    {P "d64 v32 h1 p64 l1" T "good:vi8,lean:vi8,kf16:vf16" MEAN PERM TURN, "", 0},
    {P "d128 v32 h1 p32 l1 qf32 of16 if32 tight high:vi8,g4b4x2r16sD:vi8" MEAN PERM HADA, "", 0},
    {P "d64 v64 h1 p32 l1" T "sharp:vi8,kf16p:vf16" HADA, "w=16", 512},
    {P "d64 v64 h1 p32 l1" T "good:vk,kf16:vk" MEAN TURN, "", 0},
    {"page_retier d64 v32 h1 p32 l1" T "kf16:vf16,good:vi8" MEAN PERM HADA, "", 0},
    {"page_retier d64 v32 h1 p32 l1" T "good:vi8,kf32:vf16" PERM TURN, "", 0},
    {"page_retier d64 v32 h1 p32 l1" T "good:vi8,lean:vi8" MEAN HADA, "", 0},
    {"attn_extend d64 v32 h2 p32 l1" T "good:vi8,kf16:vf16" MEAN PERM HADA, "", 0},
    {"attn_extend d48 v32 h2 p32 l1" T "g4b8r16sDp:vi8,good:vi8" MEAN TURN, "", 0},
    {"page_mass d64 v32 h2 p32 l1" T "good:vi8,kf16:vf16" MEAN PERM HADA, "", 0},
};

#undef A
#undef E
#undef T
#undef MEAN
#undef PERM
#undef TURN
#undef HADA
#undef P

/* ---- bytes --------------------------------------------------------------------------- */

#define S(d, h, p, l, tiers)                                                                       \
    "attn_decode d" d " v32 h" h " p" p " l" l " qf32 of32 if32 fast " tiers

#define W(d, h, p, l, tiers)                                                                       \
    "attn_decode d" d " v32 h" h " p" p " l" l " qf32 of32 if32 tight " tiers

static const kernel_row bytes[] = {
    {S("128", "4", "128", "1", "high:vi8"), "lut=byte", 512},
    {S("64", "1", "64", "0", "high:vi8"), "lut=byte", 512},
    {S("96", "5", "64", "1", "high:vi4,kf16:vf16"), "lut=byte", 512},
    {S("128", "4", "64", "1", "mid:vi8"), "lut=byte", 512},
    {S("256", "3", "64", "1", "mid:vi4") " mean permutation", "lut=byte", 512},
    {S("128", "2", "128", "0", "mid:vi8"), "lut=byte,lut_build=separate", 512},
    {S("128", "4", "128", "1", "low:vi4"), "lut=byte", 512},
    {S("64", "9", "64", "0", "low:vi8") " mean", "lut=byte,lut_build=separate", 512},
    {S("128", "4", "128", "1", "good:vi8"), "lut=byte", 512},
    {S("48", "6", "64", "1", "good:vi8,kf16:vf16") " mean permutation", "lut=byte", 512},
    {S("64", "16", "64", "0", "good:vi8"), "lut=byte,lut_build=separate", 512},
    {S("64", "3", "192", "1", "good:vi8,high:vi8,g8b8r4:vi8,fine:vi8"), "lut=byte", 512},
    {S("128", "4", "64", "1", "fine:vi8"), "lut=byte", 512},
    {S("80", "1", "64", "0", "fine:vf16") " mean permutation", "lut=byte", 512},
    {S("128", "4", "64", "1", "turbo:vi8"), "lut=byte", 512},
    {S("80", "5", "128", "0", "turbo:vi4") " permutation", "lut=byte,lut_build=separate", 512},
    {S("48", "2", "64", "0", "g4b2r8s16:vi8"), "lut=byte", 512},
    {S("80", "3", "64", "1", "g20b2r16sD:vi8"), "lut=byte", 512},
    {S("96", "4", "64", "1", "g12b3r8:vi8"), "lut=byte", 512},
    {S("64", "7", "64", "0", "g2b3r4sD:vi8"), "lut=byte", 512},
    {S("48", "1", "64", "0", "g4b4r8s16:vi8"), "lut=byte", 512},
    {S("80", "4", "64", "1", "g5b5r8:vi8"), "lut=byte", 512},
    {S("96", "2", "128", "0", "g3b5r16sD:vi8"), "lut=byte", 512},
    {S("64", "20", "64", "1", "g1b5r8sD:vi8,mid:vi4"), "lut=byte", 512},
    {S("80", "4", "64", "1", "g1b6r16sD:vi8"), "lut=byte", 512},
    {S("80", "2", "64", "0", "g16b6r8:vi8"), "lut=byte,lut_build=separate", 512},
    {S("96", "3", "64", "1", "32@g2b4r16s32+48@g16b4r8+16@kf16:vi8,good:vi8"), "lut=byte", 512},
    {S("128", "4", "128", "1", "lean:vi8"), "lut=byte", 512},
    {S("80", "3", "64", "0", "g8b8r8sD:vi4,g4b7r16sD:vi8") " mean", "lut=byte", 512},
    {S("96", "2", "64", "1", "g16b8r8:vi8,g16b7r8:vi8"), "lut=byte,lut_build=separate", 512},
    {S("32", "5", "64", "0", "g1b8r16sD:vi8"), "lut=byte", 512},
    {S("128", "4", "64", "1", "good:vi8,mid:vi8 mean softcap window queries"), "lut=byte", 512},
    {W("128", "4", "128", "1", "high:vi8"), "lut=word", 512},
    {W("96", "5", "64", "0", "high:vi4,kf16:vf16") " mean permutation", "lut=word", 512},
    {W("128", "3", "64", "1", "mid:vi8,low:vi8"), "lut=word,lut_build=separate", 512},
    {W("64", "4", "64", "1", "good:vi8,kf16:vf16"), "lut=word", 512},
    {W("128", "1", "128", "0", "good:vi8,fine:vi8") " mean", "lut=word", 512},
    {W("80", "6", "64", "1", "turbo:vi8,g8b8r8sD:vi8"), "lut=word", 512},
    {W("64", "2", "64", "0", "g2b3r4sD:vi8,g4b7r16sD:vi8,g8b5r8:vi8"), "lut=word", 512},
    {W("96", "2", "64", "1", "g16b8r8:vi8,g12b3r8:vi8"), "lut=word,lut_build=separate", 512},
    {S("64", "7", "64", "1", "good:vi8,mid:vi8"), "lut=word", 512},
    /* four heads for one set of indices; a table for 128 tokens, alone and in a mix */
    {W("64", "5", "128", "1", "good:vi4,lean:vi8"), "lut=word", 512},
    {W("32", "3", "128", "0", "g4b7r16sD:vi8,fine:vi4"), "lut=word", 512},
};

/* of 8 lanes */
static const kernel_row narrow[] = {
    {S("128", "4", "128", "1", "high:vi8"), "w=8,lut=byte", 256},
    {S("96", "5", "64", "0", "mid:vi4,kf16:vf16") " mean permutation", "w=8,lut=byte", 256},
    {S("128", "2", "128", "1", "low:vi4,mid:vi8"), "w=8,lut=byte,lut_build=separate", 256},
    {S("64", "9", "64", "0", "low:vi8") " mean", "w=8,lut=byte", 256},
    {S("128", "4", "128", "1", "good:vi8,fine:vi8"), "w=8,lut=byte", 256},
    {S("48", "6", "64", "0", "good:vi8,fine:vi4") " mean permutation", "w=8,lut=byte", 256},
    {S("64", "16", "64", "1", "good:vi8"), "w=8,lut=byte,lut_build=separate", 256},
    {S("64", "3", "192", "1", "good:vi8,high:vi8,g8b8r4:vi8,fine:vi8"), "w=8,lut=byte", 256},
    {S("128", "4", "64", "1", "turbo:vi8"), "w=8,lut=byte", 256},
    {S("80", "5", "128", "0", "turbo:vi4") " permutation", "w=8,lut=byte,lut_build=separate", 256},
    {S("48", "2", "64", "0", "g8b2r8s16:vi8,g16b2r8:vi8"), "w=8,lut=byte", 256},
    {S("80", "3", "64", "1", "g20b2r16sD:vi8,g16b3r4sD:vi8"), "w=8,lut=byte", 256},
    {S("80", "4", "64", "1", "g16b5r8:vi8,g1b5r8sD:vi4"), "w=8,lut=byte", 256},
    {S("96", "2", "128", "0", "g3b5r16sD:vi8,g1b3r4sD:vi8"), "w=8,lut=byte", 256},
    {S("64", "20", "64", "1", "g1b6r8sD:vi8,mid:vi4"), "w=8,lut=byte", 256},
    {S("96", "3", "64", "1", "32@g2b4r16s32+48@g16b4r8+16@kf16:vi8,good:vi8"), "w=8,lut=byte", 256},
    {S("128", "4", "64", "1", "good:vi8,mid:vi8 mean softcap window queries"), "w=8,lut=byte", 256},
};

#undef S
#undef W

/* ---- codes --------------------------------------------------------------------------- */

#define A(d, v, h, p, l) "attn_decode d" d " v" v " h" h " p" p " l" l " "
#define T "qf32 of32 if32 tight "
#define F "qf32 of32 if32 fast "
#define E(d, p) "kv_encode d" d " v32 h1 p" p " l1 " T
#define D(d, p) "page_decode d" d " v32 h1 p" p " l1 "

static const kernel_row codes[] = {
    {A("64", "32", "4", "64", "1") T "g2b4x2r16sD:vi8,kf16:vf16", "", 0},
    {A("64", "32", "3", "64", "0") T "g16b6x2r8:vi8", "", 0},
    {A("64", "32", "5", "32", "1") T "g8b4x3r16sD:vi8,g16b5x2r4s32:vi4", "lut=rows", 0},
    {A("64", "32", "2", "64", "1") T "g16b4x4r8:vi8,good:vi8", "w=8,lut=perm", 256},
    {A("64", "32", "4", "64", "1") T "g4b4x2r16sD:vi8", "w=8,lut=pair16", 256},
    {A("64", "32", "4", "64", "1") F "g4b4x2r16sD:vi8,g16b6x2r16sD:vi8", "lut=byte", 512},
    {A("64", "32", "4", "64", "1") T "g4b4x2r16sD:vi8,g8b8x2r16sD:vi8", "lut=word", 512},
    {A("64", "32", "20", "64", "1") T "g8b6x2r16sD:vi8,kf16:vf16", "lut=rebuild", 0},
    {A("64", "32", "2", "64", "1") F "g8b8x2r16sD:vi8", "lut=rebuild,w=16,ktok=2", 512},
    {A("64", "32", "2", "16", "0") T "g2b3x2r8s16:vf16", "w=4", 128},
    {A("64", "32", "3", "64", "1") T "g2b4x2r16sD:vi8,g16b8x2r8:vi8,kf16:vf16 mean permutation", "", 0},
    {A("64", "32", "2", "64", "1") T "g4b5x2r16sD:vi8 mean permutation", "lut=rebuild", 0},
    {A("96", "32", "2", "64", "1") T "64@g4b4x3r16s64+32@kf16:vi8,32@g8b6x2r8+64@high:vi8 mean", "", 0},
    {A("64", "32", "2", "64", "1") T "g16b8x2r16sDp:vi8,kf16p:vf16", "", 0},
    {A("64", "32", "1", "32", "1") T "g4b4x2r16sDp:vi8,g2b4x2r16sD:vi8 mean permutation queries", "", 0},
    {A("64", "64", "4", "64", "1") T "g4b6x2r16sD:vk,kf16:vk", "", 0},
    {A("64", "32", "2", "64", "1") "qf32 of32 if32 exact g2b4x2r16sD:vf32 softcap window queries", "", 0},
    {E("64", "64") "g2b4x2r16sD:vi8,kf16:vf16", "", 0},
    {E("64", "64") "g1b4x2r16sD:vi8,kf16:vf16", "w=16,etok=2", 512},
    {E("64", "64") "g16b6x2r8:vi8,kf16:vf16", "w=8,etok=2", 256},
    {E("64", "32") "g32b3x4r4:vi8,kf32:vf32 mean permutation", "w=4,etok=1", 0},
    {E("64", "32") "g16b8x2r16sDp:vi8,kf16p:vf16 mean", "", 0},
    {E("96", "32") "64@g4b4x3r16s64+32@kf16:vi8,kf16:vf16", "", 0},
    {D("64", "64") "qf32 of32 if32 tight g2b4x2r16sD:vi8,g16b6x2r8:vi8", "", 0},
    {D("64", "64") "qf32 of16 if32 tight g8b8x3r16sD:vi8,g4b4x2r8s16:vi8 mean permutation", "", 0},
    {D("64", "32") "qf32 of32 if32 tight g16b8x2r16sDp:vi8,kf16p:vf16 mean", "w=8", 256},
    {D("96", "32") "qf32 obf16 if32 tight 64@g4b4x3r16s64+32@kf16:vk", "", 0},
    {"attn_extend d64 v32 h2 p32 l1 " T "g16b8x2r16sDp:vi8,g2b4x2r16sD:vi8 mean permutation", "", 0},
    {"page_mass d64 v32 h2 p64 l1 " T "g4b4x2r16sD:vi8,g16b6x2r8:vi8,kf16:vf16", "", 0},
    {"page_retier d64 v32 h1 p64 l1 " T "g16b6x2r8:vi8,g2b4x2r16sD:vf16 mean permutation", "", 0},
    {"page_retier d64 v32 h1 p32 l1 " T "kf32:vf32,g8b8x3r16sD:vi8 mean", "", 0},
    {"token_compact d64 v32 h1 p64 l1 " T "g2b4x2r16sD:vi8,g16b6x3r8:vi4", "", 0},
    {"page_gather d64 v32 h1 p64 l1 " T "g2b4x2r16sD:vi8,g16b6x3r8:vi4", "", 0},
};

#undef A
#undef D
#undef E
#undef F
#undef T

/* ---- compact ------------------------------------------------------------------------- */

#define C(d, dv, p, l, tiers) \
    "token_compact d" d " v" dv " h1 p" p " l" l " qf32 of32 if32 tight " tiers

static const kernel_row compact[] = {
    {C("128", "128", "128", "1", "good:vi8,kf16:vf16"), "", 0},
    {C("64", "64", "64", "1", "high:vi4,mid:vi8,low:vf8,lean:vf16"), "", 0},
    {C("64", "64", "64", "0", "high:vi8,mid:vi4,fine:vi8,turbo:vi4"), "store=plain", 0},
    {C("64", "32", "32", "1", "ki8:vi8,ki4:vi4,kf8:vf8,kf32:vf32"), "", 0},
    {C("64", "64", "128", "0", "ki8:vi4,ki4:vf8,kbf16:vbf16"), "w=16", 512},
    {C("64", "64", "128", "1", "good:vi4,high:vi8,lean:vi8"), "w=16,store=plain", 512},
    {C("64", "64", "128", "1", "good:vi4,high:vi8,lean:vi8"), "w=8", 256},
    {C("64", "64", "64", "1", "good:vi8,g4b2r4:vi4"), "w=4", 256},
    {C("96", "48", "48", "1", "g3b5r8s6:vi8,g12b3r4:vi4"), "", 0},
    {C("40", "24", "8", "1", "g8b3r4:vi4,g5b7r8s10:vi8"), "", 0},
    {C("16", "16", "16", "0", "g2b4r4sD:vi8,kf16:vi4"), "w=4", 0},
    {C("64", "64", "32", "1", "sharp:vi8,thin:vi4"), "", 0},
    {C("32", "32", "32", "1", "good:vi8,kf16:vf16") " positions", "", 0},
    {C("96", "64", "32", "1", "64@g4b8r16s64+32@kf16:vi8,kf16:vk"), "", 0},
    {C("64", "64", "64", "1", "32@g4b6r8+16@ki8+16@kf8:vi8"), "w=16", 512},
    {C("80", "80", "256", "1", "mid:vi8,kf8:vi4"), "", 0},
    {C("64", "64", "128", "1", "low:vi4,g8b5r16sD:vi8,g8b7r16sD:vf16,fine:vi8"), "w=16", 512},
    {C("64", "64", "64", "1", "g8b5r8:vi8,fine:vi4,g8b7r16sD:vi8,ki4:vi4"), "w=8", 256},
    {C("64", "64", "128", "1", "kf32:vf32,ki4:vi8,kf16:vf16,ki8:vi4"), "w=16", 512},
    {C("64", "64", "48", "0", "ki4:vi4,kf16:vf16,ki8:vi8"), "w=8", 256},
    {C("64", "64", "128", "1", "fine:vk,g8b5r16sD:vk,lean:vk"), "w=16", 512},
    {C("64", "64", "64", "0", "ki4:vi4,g8b2r16sD:vi8,g8b4r16sD:vf8"), "w=4,store=plain", 0},
};

#undef C

/* ---- decode -------------------------------------------------------------------------- */

#define D(d, dv, p, l, o, tiers) \
    "page_decode d" d " v" dv " h1 p" p " l" l " qf32 o" o " if32 tight " tiers

static const kernel_row decode[] = {
    {D("128", "128", "32", "1", "f32", "good:vi8,kf16:vf16"), "", 0},
    {D("64", "64", "64", "1", "f32", "good:vi8,lean:vi4,kf16:vf16"), "store=past", 0},
    {D("64", "64", "64", "1", "f16", "good:vi8,lean:vi4,kf16:vf16"), "w=8,store=past,lut=perm", 256},
    {D("64", "64", "64", "1", "f16", "good:vi8,kf16:vf16"), "lut=rows", 0},
    {D("64", "64", "64", "1", "bf16", "good:vi8,kbf16:vbf16"), "w=8", 256},
    {D("64", "64", "64", "0", "f32", "good:vi8,kf32:vf32"), "w=4,lut=rows", 256},
    {D("64", "64", "64", "0", "f16", "good:vi8,kf32:vf32"), "w=4,lut=rows", 256},
    {D("64", "64", "64", "1", "f32", "good:vi8,kf16:vf16"), "w=16,lut=rows", 512},
    {D("64", "64", "64", "1", "f16", "good:vi8,kf16:vf16"), "w=16", 512},
    {D("64", "32", "32", "1", "f32", "high:vi8,mid:vi4,low:vf8,lean:vf16"), "", 0},
    {D("64", "32", "32", "0", "f16", "high:vi8,mid:vi4,low:vf8,lean:vf16"), "", 0},
    {D("64", "64", "16", "1", "bf16", "fine:vi4,turbo:vi8,kf16:vf16"), "", 0},
    {D("96", "48", "48", "1", "f16", "g3b5r8s6:vi8,g12b3r4:vi4"), "", 0},
    {D("80", "16", "32", "0", "f32", "g5b2r4:vbf16,g10b8r16sD:vi8"), "", 0},
    {D("64", "64", "64", "1", "f32", "ki8:vi4,ki4:vf8"), "", 0},
    {D("64", "64", "64", "0", "f16", "ki8:vi4,ki4:vf8"), "", 0},
    {D("64", "64", "32", "1", "f32", "ki8:vi8,ki4:vf16"), "w=4", 256},
    {D("64", "64", "64", "1", "bf16", "ki8:vi4,ki4:vf8"), "w=16", 512},
    {D("64", "64", "64", "1", "f32", "good:vi8,kf16:vf16") " mean permutation", "", 0},
    {D("64", "64", "64", "1", "f16", "high:vi8,g2b6r8:vf16,kf16:vf16") " mean", "", 0},
    {D("64", "64", "32", "0", "f32", "lean:vi8,turbo:vf16") " permutation", "", 0},
};

#undef D

/* ---- dense --------------------------------------------------------------------------- */

#define S(d, h, p, l, tiers)                                                                       \
    "attn_decode d" d " v" d " h" h " p" p " l" l " qf32 of32 if32 tight " tiers
#define X(d, h, p, tiers) "attn_decode d" d " v64 h" h " p" p " l1 qf32 of32 if32 exact " tiers
#define F(d, h, p, l, tiers) "attn_decode d" d " v64 h" h " p" p " l" l " qf32 of32 if32 fast " tiers
#define E(d, p, l, tiers) "kv_encode d" d " v32 h1 p" p " l" l " qf32 of32 if32 tight " tiers

static const kernel_row dense[] = {
    {S("32", "1", "16", "0", "ki8:vi8"), "", 0},
    {S("64", "4", "32", "1", "ki8:vf16"), "", 0},
    {S("80", "3", "48", "1", "ki8:vi8"), "", 0},
    {S("96", "2", "64", "0", "ki8:vi8"), "", 0},
    {S("112", "7", "16", "1", "ki8:vi8"), "", 0},
    {S("128", "4", "64", "1", "ki8:vi8"), "", 0},
    {S("160", "5", "32", "1", "ki8:vf16"), "", 0},
    {S("192", "1", "80", "0", "ki8:vi8"), "", 0},
    {S("256", "2", "32", "1", "ki8:vi8"), "", 0},
    {S("32", "16", "48", "1", "ki4:vi8"), "", 0},
    {S("64", "1", "16", "0", "ki4:vf16"), "", 0},
    {S("80", "2", "32", "1", "ki4:vi8"), "", 0},
    {S("96", "9", "64", "1", "ki4:vi8"), "", 0},
    {S("112", "1", "112", "0", "ki4:vi8"), "", 0},
    {S("128", "4", "64", "1", "ki4:vi8"), "", 0},
    {S("160", "2", "16", "1", "ki4:vf16"), "", 0},
    {S("192", "6", "32", "0", "ki4:vi8"), "", 0},
    {S("256", "1", "256", "1", "ki4:vi8"), "", 0},
    {S("64", "4", "32", "1", "kf8:vf8"), "", 0},
    {S("80", "3", "48", "0", "kf8:vi8"), "", 0},
    {S("112", "7", "16", "1", "kf8:vf16,kf16:vf16"), "", 0},
    {S("128", "4", "64", "1", "kf8:vf8,good:vi8"), "", 0},
    {S("80", "2", "32", "1", "kf8:vf8"), "w=4,ktok=2", 128},
    {S("96", "5", "64", "0", "kf8:vf8"), "w=16,ktok=4", 512},
    {X("80", "6", "48", "kf8:vf32"), "", 0},
    {X("112", "3", "32", "ki8:vf32"), "", 0},
    {X("80", "6", "48", "ki4:vf32"), "", 0},
    {X("64", "2", "32", "ki8:vf32,ki4:vi8,kf32:vf32"), "", 0},
    {S("64", "3", "64", "1", "good:vi8,ki8:vi8,ki4:vi8,kf16:vf16"), "", 0},
    {F("128", "4", "64", "1", "ki8:vi8"), "query=dots,ktok=1", 512},
    {F("64", "7", "32", "1", "ki8:vi8,ki4:vi4"), "w=8,vch=16,query=dots,ktok=2", 512},
    {F("80", "3", "48", "0", "ki8:vi4,ki4:vi8"), "w=4,vch=16,vtok=1,query=dots,ktok=4,prob=i16", 512},
    {F("64", "2", "64", "1", "ki4:vi8,ki8:vi4"), "w=8,vch=16,query=i7,ktok=4,prob=u7", 512},
    {F("96", "5", "32", "1", "ki8:vi8,ki4:vi4,kf16:vf16"), "w=4,vch=16,query=i7,ktok=4,prob=u7", 512},
    {F("80", "4", "64", "1", "ki4:vi8,ki8:vf16"), "w=16,query=i7,ktok=2,prob=i16", 512},
    {F("80", "3", "48", "0", "ki8:vf32"), "query=dots,ktok=1", 512},
    {F("64", "7", "32", "1", "ki8:vi8,ki4:vi4"), "query=dots,ktok=2", 512},
    {F("256", "2", "64", "1", "ki4:vi8"), "query=dots,ktok=4", 512},
    {F("112", "16", "16", "1", "ki4:vf16"), "query=dots,ktok=1", 512},
    {F("128", "4", "64", "1", "kf16:vf16"), "query=dots,ktok=1", 512},
    {F("80", "5", "32", "0", "kf16:vf32"), "query=dots,ktok=2", 512},
    {F("48", "1", "64", "1", "kbf16:vbf16"), "query=dots,ktok=4", 512},
    {F("64", "3", "32", "1", "kf16:vf16,kbf16:vf16,ki8:vi8,ki4:vi8"), "query=dots,ktok=1", 512},
    {F("96", "2", "64", "1", "good:vi8,kf16:vf16"), "w=16,query=dots,lut=rows", 512},
    {F("96", "2", "32", "1", "64@ki8+32@kf16:vi8,kbf16:vf16"), "query=dots,ktok=1", 512},
    {F("64", "2", "32", "1", "ki8:vi8,kf16:vf16"), "query=i16", 256},
    {F("64", "2", "32", "1", "ki8:vi8,ki4:vi8"), "", 0},
    {S("64", "2", "32", "1", "ki8:vi8,ki4:vi8"), "w=4,ktok=1,query=f32", 128},
    {S("64", "2", "32", "1", "ki8:vi8,ki4:vi8"), "w=4,ktok=1,query=i16", 128},
    {S("80", "3", "32", "1", "ki8:vi8,ki4:vi8"), "w=4,ktok=2,query=i16", 128},
    {S("80", "1", "32", "1", "ki8:vi8,ki4:vi8"), "w=4,ktok=4,query=f32", 128},
    {S("80", "2", "32", "1", "ki8:vi8,ki4:vi8"), "w=8,ktok=1,query=f32", 256},
    {S("80", "2", "32", "1", "ki8:vi8,ki4:vi8"), "w=8,ktok=1,query=i16", 256},
    {S("64", "7", "32", "0", "ki8:vi8,ki4:vi8"), "w=8,ktok=2,query=f32", 256},
    {S("64", "7", "32", "0", "ki8:vi8,ki4:vi8"), "w=8,ktok=4,query=i16", 256},
    {S("64", "2", "32", "1", "ki8:vi8,ki4:vi8"), "w=16,ktok=1,query=f32", 512},
    {S("80", "3", "32", "1", "ki8:vi8,ki4:vi8"), "w=16,ktok=1,query=i16,vtok=1", 512},
    {S("64", "4", "64", "1", "ki8:vi8,ki4:vi8"), "w=16,ktok=2,query=i16", 512},
    {S("96", "5", "64", "0", "ki8:vi8,ki4:vi8"), "w=16,ktok=4,query=f32", 512},
    {S("96", "5", "64", "0", "ki8:vi8,ki4:vi8"), "w=16,ktok=4,query=i16", 512},
    {S("128", "4", "64", "1", "ki4:vi4"), "w=16,ktok=1,query=dots16", 512},
    {S("80", "3", "48", "0", "ki8:vi8,ki4:vi8"), "w=16,ktok=1,query=dots16", 512},
    {S("96", "7", "32", "1", "ki4:vi8,ki8:vf16,kf16:vf16"), "w=16,ktok=2,query=dots16", 512},
    {S("256", "16", "64", "1", "ki8:vi4"), "w=16,ktok=4,query=dots16", 512},
    {S("64", "7", "32", "0", "ki8:vi8,ki4:vi8"), "w=8,ktok=2,query=dots16", 512},
    {S("80", "2", "32", "1", "ki8:vi8,ki4:vi8"), "w=4,ktok=4,query=dots16", 512},
    {S("96", "2", "32", "1", "64@ki8+32@ki4:vi8,kbf16:vf16"), "w=16,query=dots16,ktok=1", 512},
    {F("64", "4", "64", "1", "ki8:vi8,ki4:vi4"), "w=16,query=dots16,ktok=2", 512},
    {E("32", "16", "0", "ki8:vf16,kf16:vf16"), "", 0},
    {E("80", "48", "1", "ki8:vi8,kf32:vf32"), "", 0},
    {E("128", "64", "1", "ki8:vi8,kbf16:vf16"), "", 0},
    {E("112", "32", "0", "ki4:vi8,kf16:vf16"), "", 0},
    {E("64", "16", "1", "ki4:vf32,kbf16:vbf16"), "", 0},
    {E("256", "64", "1", "ki4:vi8,kf16:vf16"), "", 0},
    {"page_decode d80 v48 h1 p48 l1 qf32 of32 if32 tight kf8:vf8,good:vi8", "", 0},
    {E("128", "64", "1", "kf8:vf8,kf16:vf16"), "", 0},
    {E("80", "48", "0", "kf8:vi8,kf32:vf32"), "", 0},
    {E("16", "16", "1", "kf8:vf8,kbf16:vbf16"), "", 0},
    {E("80", "48", "1", "kf8:vf8,kf32:vf16"), "w=4", 128},
    {E("112", "32", "1", "kf8:vf8,kf16:vf32"), "w=16", 512},
    {E("80", "48", "1", "ki8:vi8,kf16:vf16"), "w=4", 128},
    {E("80", "48", "1", "ki4:vi8,kf32:vf16"), "w=4", 128},
    {E("80", "48", "1", "ki8:vi8,kf16:vf16"), "w=16", 512},
    {E("80", "48", "1", "ki4:vi8,kf32:vf16"), "w=16", 512},
};

#undef S
#undef X
#undef F
#undef E

/* ---- extend -------------------------------------------------------------------------- */

#define X(d, dv, h, p, l, rest) "attn_extend d" d " v" dv " h" h " p" p " l" l " " rest
#define T "qf32 of32 if32 tight "

static const kernel_row extend[] = {
    {X("64", "64", "4", "64", "1", T "good:vi8,kf16:vf16"), "", 0},
    {X("128", "128", "4", "32", "1", T "good:vi8,kf16:vf16"), "", 0},
    {X("64", "64", "1", "64", "0", T "high:vi8,mid:vi4,low:vf8,lean:vf16"), "qtile=24", 0},
    {X("64", "32", "3", "32", "1", T "high:vi8,mid:vi4,low:vf8,lean:vf16"), "w=4,qrows=4,qvec=2", 128},
    {X("64", "64", "2", "16", "1", T "fine:vi4,turbo:vi8,kf16:vf16"), "w=8,qrows=6,qvec=2", 256},
    {X("96", "48", "5", "48", "1", T "g3b5r8s6:vi8,g12b3r4:vi4"), "qtile=48", 0},
    {X("80", "16", "2", "32", "0", T "g5b2r4:vbf16,g10b8r16sD:vi8"), "", 0},
    {X("64", "64", "16", "64", "1", T "ki8:vi4,ki4:vf8"), "w=16,qtile=24", 512},
    {X("64", "64", "2", "64", "0", T "ki8:vi8,kf8:vf16"), "w=8,qrows=4,qvec=4", 256},
    {X("112", "80", "7", "112", "1", T "kf32:vf32,kbf16:vbf16"), "w=16", 512},
    {X("64", "64", "4", "64", "1", "qf32 of32 if32 exact good:vi8,kf16:vf16"), "", 0},
    {X("64", "64", "4", "64", "1", "qf32 of32 if32 fast good:vi8,ki8:vi8,kf16:vf16"), "", 0},
    {X("64", "64", "4", "64", "1", "qf32 of32 if32 fast good:vi8,kf16:vf16"), "w=16,product=bf16", 512},
    {X("80", "48", "3", "32", "1", "qf16 of32 if32 fast high:vi4,ki8:vi8,kbf16:vbf16,kf8:vf8"), "w=8,product=bf16", 256},
    {X("48", "64", "2", "48", "0", "qbf16 of32 if32 fast mid:vi8,kf32:vf32"), "w=4,qvec=2,product=bf16", 128},
    {X("64", "64", "4", "64", "1", T "sharp:vi8,kf16p:vf16"), "", 0},
    {X("64", "32", "3", "32", "1", "qf32 of32 if32 fast thin:vi4,kbf16p:vbf16,good:vi8"), "w=8,product=bf16", 256},
    {X("96", "64", "2", "48", "0", "qf16 of32 if32 exact g2b4r16sDp:vi8,kf32p:vf32 mean permutation"), "w=4", 128},
    {X("64", "64", "2", "64", "1", "qf16 of16 if32 tight good:vi8,kf16:vf16"), "qtile=24,qrows=8", 0},
    {X("64", "48", "3", "32", "1", "qbf16 obf16 if32 tight high:vi8,kbf16:vf16"), "qrows=12,qvec=1", 0},
    {X("32", "16", "1", "16", "1", T "kf16:vf16"), "w=4,qrows=4,qvec=1,qtile=24", 0},
    {X("256", "256", "2", "32", "1", T "good:vi8,kf16:vf16"), "qtile=96", 0},
    {X("64", "64", "3", "64", "1", T "good:vi8,kf16:vf16 mean permutation"), "", 0},
    {X("96", "64", "2", "64", "1", T "high:vi8,g2b6r8:vf16,kf16:vf16 mean"), "w=16", 512},
    {X("96", "64", "4", "64", "1", T "64@g16b8r16s64+32@kf16:vk,kf16:vk"), "", 0},
    {X("96", "64", "2", "32", "1", "qf32 of32 if32 fast 64@g16b8r16s64+32@kf16p:vk,64@kf16+32@kf16p:vk"), "w=16,product=bf16,qvec=2", 512},
    {X("80", "48", "3", "48", "0", T "32@good+48@g4b5r8s16:vf16,16@ki8+64@kf32:vk mean"), "w=4,qvec=2", 128},
    {X("128", "64", "3", "64", "1", "qf16 of32 if32 fast 64@high+64@fine:vi8,good:vk,kf16:vf16 mean"), "w=8,product=bf16", 256},
    {X("64", "64", "2", "32", "1", "qf32 of32 if32 exact sharp:vk,kf32p:vk mean"), "w=8", 256},
    {X("96", "80", "5", "32", "1", T "32@ki8+64@thin:vk,32@high+64@ki4p:vi8 mean"), "", 0},
    {X("64", "64", "2", "32", "0", T "lean:vi8,turbo:vf16 permutation"), "w=8", 256},
    {X("64", "64", "4", "64", "1", T "good:vi8,kf16:vf16 softcap"), "", 0},
    {X("64", "64", "3", "32", "1", T "good:vi8,kf16:vf16 sink"), "w=8", 256},
    {X("64", "64", "4", "64", "0", "qf16 of32 if32 exact kf16:vf16 headscale"), "", 0},
    {X("64", "32", "2", "32", "1", T "high:vi4,ki8:vi8 window"), "qtile=24", 0},
    {X("64", "64", "5", "16", "0", T "kf16:vf16 window"), "w=4,qrows=4,qvec=2", 128},
    {X("64", "64", "2", "64", "1", T "good:vi8,kf16:vf16 bias"), "", 0},
    {X("64", "64", "3", "32", "1", T "good:vi8,kf16:vf16 positions"), "qtile=24", 0},
    {X("64", "64", "2", "32", "1", T "mid:vi8,kf16:vf16 window positions"), "w=8,qrows=8", 256},
    {X("64", "48", "4", "64", "1", "qf32 of32 if32 fast good:vi8,kf16:vf16 softcap sink headscale window bias"), "w=16,product=bf16", 512},
    {X("64", "64", "3", "32", "1", T "sharp:vi8,kf16p:vf16 mean softcap sink headscale window bias positions"), "", 0},
};

#undef X
#undef T

/* ---- formats ------------------------------------------------------------------------- */

#define S(h, p, l, tier) "attn_decode d64 v32 h" h " p" p " l" l " qf32 of32 if32 tight " tier

static const kernel_row formats[] = {
    {S("2", "32", "0", "g1b2r4s8:vi8"), "w=4,lut=rows", 128},
    {S("3", "64", "1", "g2b2r8:vi8"), "w=4,lut=perm", 128},
    {S("1", "96", "0", "g4b3r16s16:vi8"), "w=4,lut=rows", 128},
    {S("5", "32", "1", "g8b3r8s32:vi8"), "w=4,lut=perm", 128},
    {S("2", "64", "0", "g16b3r16sD:vi8"), "w=8,lut=rows", 256},
    {S("3", "96", "1", "g32b3r4sD:vi8"), "w=8,lut=perm", 256},
    {S("1", "32", "0", "g1b4r16s8:vi8"), "w=4,lut=rows", 128},
    {S("5", "64", "1", "g2b4r4:vi8"), "w=4,lut=perm", 128},
    {S("2", "96", "0", "g4b4r8s16:vi8"), "w=8,lut=rows", 256},
    {S("3", "32", "1", "g8b4r4s32:vi8"), "w=8,lut=perm", 256},
    {S("1", "64", "0", "g16b4r8sD:vi8"), "w=16,lut=rows", 512},
    {S("5", "96", "1", "g32b4r16sD:vi8"), "w=16,lut=perm", 512},
    {S("2", "32", "0", "g1b5r8s8:vi8"), "w=4,lut=rows", 128},
    {S("3", "64", "1", "g2b5r16:vi8"), "w=8,lut=rows", 256},
    {S("1", "96", "0", "g4b5r4s16:vi8"), "w=8,lut=perm", 256},
    {S("5", "32", "1", "g8b5r16s32:vi8"), "w=16,lut=rows", 512},
    {S("2", "64", "0", "g16b5r4sD:vi8"), "w=16,lut=perm", 512},
    {S("3", "96", "1", "g32b6r8sD:vi8"), "w=4,lut=rows", 128},
    {S("1", "32", "0", "g1b6r4s8:vi8"), "w=8,lut=rows", 256},
    {S("5", "64", "1", "g2b6r8:vi8"), "w=16,lut=rows", 512},
    {S("2", "96", "0", "g4b6r16s16:vi8"), "w=16,lut=perm", 512},
    {S("3", "32", "1", "g8b7r8s32:vi8"), "w=4,lut=rows", 128},
    {S("1", "64", "0", "g16b7r16sD:vi8"), "w=8,lut=rows", 256},
    {S("5", "96", "1", "g32b7r4sD:vi8"), "w=16,lut=rows", 512},
    {S("2", "32", "0", "g1b8r16s8:vi8"), "w=4,lut=rows", 128},
    {S("3", "64", "1", "g2b8r4:vi8"), "w=8,lut=rows", 256},
    {S("1", "96", "0", "g4b8r8s16:vi8"), "w=16,lut=rows", 512},
    {S("2", "16", "0", "g2b3r8s8:vf16"), "w=4,lut=rows", 128},
    {S("2", "48", "0", "g4b7r4s16:vf16"), "w=8,lut=rows", 256},
    {S("3", "16", "1", "g1b5r16sD:vf16"), "w=16,lut=rows", 512},
    {S("1", "80", "0", "g2b6r16sD:vf16"), "w=16,lut=rows", 512},
    {S("4", "64", "1", "turbo:vi8"), "w=8,lut=pair16", 256},
    {S("4", "64", "1", "turbo:vi8,fine:vi8,good:vi8"), "w=16,lut=perm", 512},
    {S("2", "32", "0", "g1b2r4s8:vi8"), "w=4,lut=rebuild", 128},
    {S("16", "64", "1", "good:vi8,kf16:vf16"), "w=8,lut=rebuild,ktok=2", 256},
    {S("3", "64", "1", "g16b5r4sD:vi8"), "w=16,lut=rebuild", 512},
    {S("5", "64", "1", "g4b8r8s16:vi8,fine:vf16,ki8:vi8"), "w=8,lut=rebuild,ktok=4", 256},
    {S("1", "96", "0", "g32b3r4sD:vf16"), "w=4,lut=rebuild,ktok=2", 128},
    {S("12", "32", "1", "lean:vi8,good:vi4") " mean permutation", "w=16,lut=rebuild,ktok=2", 512},
    {S("4", "64", "1", "high:vi8") " mean", "w=8,lut=rebuild", 256},
};

#undef S

/* ---- gather -------------------------------------------------------------------------- */

#define G(d, dv, p, tiers) "page_gather d" d " v" dv " h1 p" p " l1 qf32 of32 if32 tight " tiers

static const kernel_row gather[] = {
    {G("128", "128", "128", "good:vi8,kf16:vf16"), "", 0},
    {G("64", "64", "64", "high:vi8,mid:vi8,low:vi8,lean:vf16"), "", 0},
    {G("32", "32", "16", "low:vi8,kf16:vf16"), "streams=8", 0},
    {G("32", "32", "16", "kf32:vf32"), "streams=1,prefetch=0", 0},
    {G("40", "24", "8", "g8b3r4:vi4"), "streams=4,prefetch=4", 0},
    {G("64", "64", "32", "ki8:vf8,ki4:vi4,kbf16:vbf16"), "prefetch=2", 0},
    {G("96", "64", "32", "64@g4b8r16s64+32@kf16:vi8,kf16:vk"), "store=plain", 0},
    {G("64", "64", "64", "good:vi8,kf16:vf16"), "w=4", 256},
    {G("64", "64", "64", "good:vi8,kf16:vf16"), "w=8,store=plain", 256},
    {G("64", "64", "64", "good:vi8,kf16:vf16"), "w=16,streams=4", 512},
};

#undef G

/* ---- keys ---------------------------------------------------------------------------- */

#define S(d, h, p, l, tiers)                                                                       \
    "attn_decode d" d " v" d " h" h " p" p " l" l " qf32 of32 if32 tight " tiers

static const kernel_row keys[] = {
    {S("64", "1", "32", "0", "kf16:vf16"), "", 0},
    {S("128", "4", "64", "1", "kf16:vf16"), "", 0},
    {S("64", "2", "64", "0", "kf16:vi8"), "", 0},
    {S("128", "8", "32", "1", "kf16:vi8"), "", 0},
    {S("128", "3", "64", "0", "kbf16:vf16"), "", 0},
    {S("64", "7", "32", "1", "kbf16:vf16"), "", 0},
    {S("64", "5", "64", "0", "kbf16:vi8"), "", 0},
    {S("128", "1", "128", "1", "kbf16:vi8"), "", 0},
    {S("64", "4", "64", "0", "high:vf16"), "", 0},
    {S("128", "2", "32", "1", "high:vf16"), "", 0},
    {S("128", "1", "64", "0", "high:vi8"), "", 0},
    {S("64", "12", "64", "1", "high:vi8"), "", 0},
    {S("128", "3", "32", "0", "mid:vf16"), "", 0},
    {S("64", "5", "64", "1", "mid:vf16"), "", 0},
    {S("64", "16", "32", "0", "mid:vi8"), "", 0},
    {S("128", "4", "128", "1", "mid:vi8"), "", 0},
    {S("64", "8", "64", "0", "low:vf16"), "", 0},
    {S("128", "2", "32", "1", "low:vf16"), "", 0},
    {S("128", "7", "64", "0", "low:vi8"), "", 0},
    {S("64", "1", "64", "1", "low:vi8"), "", 0},
};

#undef S

/* ---- mass ---------------------------------------------------------------------------- */

#define M(d, h, p, l, class, tiers) \
    "page_mass d" d " v32 h" h " p" p " l" l " qf32 of32 if32 " class " " tiers

static const kernel_row mass[] = {
    {M("128", "4", "64", "1", "tight", "good:vi8,kf16:vf16"), "", 0},
    {M("64", "3", "32", "0", "exact", "high:vi8,mid:vi4,kf32:vf32"), "", 0},
    {M("64", "1", "16", "1", "tight", "low:vi8,lean:vf8"), "w=4,lut=rows", 0},
    {M("64", "2", "64", "1", "fast", "ki8:vi8,ki4:vi4,kbf16:vf16"), "w=16", 512},
    {M("96", "9", "48", "1", "tight", "fine:vi8,kf8:vf8"), "", 0},
    {M("64", "4", "64", "1", "fast", "high:vi8,good:vi4,kf16:vk"), "", 0},
    {M("64", "20", "32", "1", "tight", "good:vi8,kf16:vf16"), "", 0},
    {M("64", "4", "64", "1", "tight", "good:vi8,kf16:vf16") " mean permutation", "", 0},
    {M("64", "2", "64", "1", "tight", "turbo:vi8"), "lut=rebuild", 0},
    {M("96", "2", "32", "1", "tight", "64@good+32@kf16:vi8,kf16:vf16"), "", 0},
    {"page_mass d64 v64 h2 p32 l1 qbf16 of32 if32 tight mid:vi8,kf16:vf16", "w=8", 256},
    {M("64", "4", "64", "1", "tight", "sharp:vi8,kf16p:vf16"), "", 0},
    {M("64", "2", "32", "0", "tight", "good:vi8,kf16:vf16") " softcap", "", 0},
    {M("64", "3", "64", "1", "exact", "high:vi8,kf32:vf32") " sink", "w=8", 256},
    {M("64", "18", "32", "1", "tight", "good:vi4,ki8:vi8") " sink headscale", "", 0},
    {M("64", "2", "64", "1", "fast", "mid:vi8,kf16:vf16") " window", "w=16", 512},
    {M("64", "4", "32", "0", "tight", "good:vi8,kf16:vf16") " bias", "w=4", 0},
    {M("64", "2", "64", "1", "tight", "low:vi8,kf16:vf16") " positions", "", 0},
    {M("64", "2", "32", "1", "tight", "thin:vi8,kf16p:vf16") " mean window positions", "", 0},
    {M("64", "5", "48", "1", "tight", "good:vi8,kf16:vf16") " mean permutation softcap sink headscale window bias positions", "", 0},
};

#undef M

/* ---- mixed --------------------------------------------------------------------------- */

#define K(kernel, d, dv, h, p, l, rest) kernel " d" d " v" dv " h" h " p" p " l" l " " rest
#define A(d, dv, h, p, l, rest) K("attn_decode", d, dv, h, p, l, rest)
#define X(d, dv, h, p, l, rest) K("attn_extend", d, dv, h, p, l, rest)
#define U(d, dv, p, l, rest) K("page_decode", d, dv, "1", p, l, rest)
#define T "qf32 of32 if32 tight "

static const kernel_row mixed[] = {
    {A("96", "64", "3", "32", "1", T "64@good+32@high:vk,kf16:vf16 mean permutation"), "", 0},
    {A("96", "96", "2", "64", "0", T "48@g4b8r8s12+48@lean:vk,kf32:vk transform"), "w=8", 256},
    {A("64", "32", "4", "64", "1", "qf32 of32 if32 exact 32@g4b8r16s32+32@g2b8r16s32p:vi8,kf32:vf32 mean hadamard"), "w=4", 128},
    {A("128", "64", "5", "32", "1", T "96@g16b8r16s96+32@g4b8r16s32p:vk,96@kf16+32@kf16p:vk mean permutation"), "", 0},
    {A("128", "64", "2", "64", "1", "qf32 of32 if32 fast 96@g16b7r8s32p+32@g1b4r16s32p:vi4,fine:vi8,high:vi8 permutation"), "w=16,ktok=2", 512},
    {A("64", "48", "20", "16", "0", "qf16 of16 if32 tight 16@g8b4x2r8s16+48@g16b6r8p:vf16,high:vi8 permutation hadamard bias positions queries"), "lut=rebuild", 0},
    {X("96", "64", "3", "32", "1", T "64@good+32@high:vi8,kf16:vf16 mean permutation"), "", 0},
    {X("64", "32", "2", "64", "0", T "32@turbo+32@g8b4x3r8s16:vk,good:vk hadamard"), "w=4,qvec=2", 128},
    {X("96", "48", "4", "48", "1", "qf32 of32 if32 fast 64@lean+32@g2b6r16s32p:vi8,64@kf16+32@kf16p:vf16 mean transform"), "w=8,product=bf16", 256},
    {X("64", "64", "2", "32", "1", "qf16 of32 if32 exact 16@g4b8r16s16p+48@g2b8r4s6:vk permutation transform"), "w=16", 512},
    {U("96", "48", "48", "1", T "64@good+32@high:vi8,mid:vk mean permutation"), "", 0},
    {U("64", "32", "32", "0", "qf32 of16 if32 tight 32@turbo+32@g8b4x3r8s16:vk,fine:vi4 mean hadamard"), "w=8", 256},
    {U("96", "96", "64", "1", "qf32 obf16 if32 tight 48@g16b6r8p+48@g4b8r8s12p:vf8 transform"), "w=4", 128},
    {U("128", "64", "32", "1", T "96@g16b8r16s96+32@g4b8r16s32p:vk,96@ki8+32@kf16p:vk permutation hadamard"), "w=16", 512},
    {U("512", "64", "16", "1", T "448@g16b4r8+64@g4b4r16s64p:vk mean permutation hadamard"), "", 0},
    {U("320", "32", "16", "0", "qf32 of16 if32 tight g8b3r8:vi8 mean transform"), "", 0},
    {U("1024", "16", "16", "1", T "g32b3r8:vi8 hadamard"), "w=16", 512},
    {"page_retier d96 v32 h1 p32 l1 " T "kf16:vf16,64@good+32@high:vi8 mean permutation", "", 0},
    {"page_retier d64 v48 h1 p48 l0 " T "32@kf32+32@ki8:vk,16@fine+48@g8b4x2r8s48:vk transform", "w=4", 128},
    {"page_retier d64 v64 h1 p64 l1 " T "48@kf16+16@kf16p:vi4,48@turbo+16@g4b5r4s16p:vi8 permutation hadamard", "", 0},
    {"kv_encode d96 v64 h1 p64 l1 " T "64@good+32@g4b8r16s32p:vi8,64@kf16+32@kf32p:vf16 mean transform", "", 0},
    {"kv_encode d96 v48 h1 p48 l1 " T "64@g16b6r8+32@g4b8r16s32p:vk,64@kf16+32@kf32p:vk permutation", "w=4", 128},
    {"page_mass d96 v64 h3 p32 l1 " T "64@good+32@g4b8r16s32p:vk,64@kf16+32@kf16p:vk mean permutation", "", 0},
};

#undef K
#undef A
#undef X
#undef U
#undef T

/* ---- retier -------------------------------------------------------------------------- */

#define R(d, p, l, tiers) "page_retier d" d " v32 h1 p" p " l" l " qf32 of32 if32 tight " tiers

static const kernel_row retier[] = {
    {R("96", "64", "1", "high:vi8,64@good+32@kf16:vi8"), "", 0},
    {R("96", "32", "1", "64@g16b8r16s64+32@kf16p:vk,64@kf16+32@kf32p:vk"), "", 0},
    {R("96", "48", "0", "32@lean+64@mid:vi4,64@fine+32@g8b4r8:vi8 mean permutation"), "w=4", 128},
    {R("128", "64", "1", "64@ki8+64@kf8:vf8,64@lean+32@kf32+32@ki4:vf16 mean"), "w=16", 512},
    {R("96", "32", "1", "96@kf16:vf16,32@ki8+64@high:vi8 mean"), "w=8", 256},
    {R("64", "64", "1", "low:vi4,good:vi8"), "", 0},
    {R("128", "128", "1", "high:vi8,fine:vi8"), "", 0},
    {R("64", "32", "0", "good:vi8,high:vi4"), "", 0},
    {R("64", "64", "1", "lean:vi8,ki8:vi8"), "", 0},
    {R("64", "64", "1", "mid:vf8,kf8:vf8"), "w=8,etok=4", 256},
    {R("96", "48", "0", "ki8:vi8,low:vi4"), "w=4", 128},
    {R("64", "64", "1", "ki4:vi4,ki8:vi8"), "w=16", 512},
    {R("64", "16", "1", "kf16:vf16,good:vi8"), "", 0},
    {R("64", "32", "1", "kf32:vf32,high:vi4"), "w=16", 512},
    {R("80", "80", "0", "kbf16:vbf16,g4b5r4:vi4"), "w=4", 0},
    {R("64", "32", "1", "kf8:vf8,lean:vf16"), "", 0},
    {R("64", "64", "1", "good:vi8,kf16:vf16"), "", 0},
    {R("64", "64", "1", "turbo:vf8,kbf16:vf32"), "w=16,etok=2", 512},
    {R("64", "64", "1", "g1b4x2r16sD:vi4,good:vi8"), "w=16,etok=2,search=sorted", 512},
    {R("64", "32", "1", "kf16:vi8,ki4:vi4"), "", 0},
    {R("64", "64", "1", "good:vi4,good:vi8"), "w=16,etok=4", 512},
    {R("64", "64", "1", "low:vi8,good:vi8") " mean", "", 0},
    {R("64", "64", "1", "high:vi4,lean:vi8") " mean permutation", "w=8", 256},
    {R("64", "32", "0", "kf32:vf32,good:vi8") " mean permutation", "", 0},
    {R("64", "32", "1", "good:vi8,ki8:vi8") " mean permutation", "w=4", 128},
    {R("64", "64", "1", "kf16:vf16,high:vi8") " mean", "w=16", 512},
    {R("64", "64", "1", "thin:vi8,sharp:vi8"), "", 0},
    {R("64", "32", "0", "kf16p:vf16,sharp:vi8") " mean", "", 0},
    {R("64", "64", "1", "low:vi8,good:vi8") " positions", "", 0},
    {R("64", "64", "1", "kf16:vf16,sharp:vi8"), "", 0},
    {R("64", "64", "1", "sharp:vi8,kf16:vf16") " positions", "", 0},
    {R("64", "32", "1", "kf32p:vf32,good:vi8") " mean positions", "w=16", 512},
    {R("64", "32", "0", "good:vi4,kf32p:vf32") " mean permutation", "", 0},
    {R("64", "48", "1", "lean:vf8,g2b5r8s4p:vi8") " hadamard", "w=4", 128},
    {R("64", "32", "1", "thin:vi8,g8b4x2r16sD:vi8") " permutation transform positions", "", 0},
    {R("64", "64", "1", "thin:vi8,ki8:vi8") " transform positions", "w=8,etok=2", 256},
    {R("64", "32", "1", "ki4:vi8,kf8p:vf8"), "w=8", 256},
    {R("80", "80", "0", "kf8p:vf8,g4b5r4:vi4") " permutation positions", "", 0},
    {R("128", "16", "1", "64@good+64@kf16:vi8,32@ki8+48@sharp+48@kbf16p:vi8"), "", 0},
    {R("96", "32", "1", "64@g16b8r16s64+32@kf16p:vk,64@kf16+32@kf32:vk") " positions", "", 0},
    {R("96", "48", "1", "64@good+32@high:vi8,fine:vi8") " mean permutation", "", 0},
    {R("96", "32", "1", "64@good+32@kf32:vi8,high:vi8"), "", 0},
    {R("64", "64", "1", "high:vk,good:vk"), "", 0},
    {R("64", "32", "1", "high:vk,good:vi8") " mean", "", 0},
    {R("256", "16", "1", "mid:vi4,good:vi8"), "", 0},
};

#undef R

/* ---- merge --------------------------------------------------------------------------- */

#define M(v, h, q) "attn_merge d" v " v" v " h" h " p128 l1 qf32 " q " tight kf16:vf16"

static const kernel_row merge[] = {
    {M("128", "4", "of32 if32"), "", 0},       {M("128", "1", "of16 if16"), "", 0},
    {M("64", "3", "obf16 ibf16"), "", 0},      {M("80", "5", "of16 if32"), "w=16", 512},
    {M("112", "16", "of32 if16"), "w=4", 256}, {M("16", "2", "of16 if16"), "w=16", 512},
    {M("256", "7", "obf16 if32"), "w=8", 256}, {M("48", "6", "of32 ibf16"), "w=4", 256},
    {M("64", "3", "of32 if32") " sink", "", 0},      {M("80", "5", "obf16 if16") " sink", "w=16", 512},
};

#undef M

/* ---- mixes --------------------------------------------------------------------------- */

#define A "attn_decode "
#define T " qf32 of32 if32 tight "

static const kernel_row mixes[] = {
    {A "d64 v64 h4 p64 l1" T "good:vi8,kf16:vf16", "", 0},
    {A "d128 v128 h4 p128 l1" T "good:vi8,kf16:vf16", "", 0},
    {A "d64 v64 h4 p64 l1 qf32 of32 if32 exact good:vi8,kf16:vf16", "", 0},
    {A "d64 v64 h4 p64 l1 qf32 of32 if32 fast good:vi8,kf16:vf16", "", 0},
    {A "d64 v64 h2 p64 l0" T "kf16:vf16,good:vi8", "", 0},
    {A "d64 v64 h2 p64 l1" T "high:vi8,mid:vi8,low:vi8", "", 0},
    {A "d64 v64 h3 p32 l1" T "good:vi8,lean:vi8,low:vi8,kbf16:vf16", "", 0},
    {A "d64 v64 h1 p64 l1" T "good:vf16,good:vi8,kf16:vi8,kf16:vf16", "", 0},
    {A "d128 v64 h2 p64 l1" T "good:vi8,kf16:vf16", "", 0},
    {A "d64 v128 h2 p64 l0" T "mid:vi8,kbf16:vf16", "", 0},
    {A "d96 v96 h2 p64 l1" T "good:vi8,kf16:vf16", "", 0},
    {A "d256 v256 h1 p64 l1" T "good:vi8,kf16:vf16", "", 0},
    {A "d64 v64 h6 p16 l1" T "g8b8r16s32:vi8,kf16:vf16", "", 0},
    {A "d64 v64 h2 p32 l1 qf16 of32 if32 tight good:vi8,kf16:vf16", "", 0},
    {A "d64 v64 h4 p64 l1 qf32 of16 if32 tight good:vi8,kf16:vf16", "", 0},
    {A "d64 v48 h3 p32 l1 qf16 of16 if32 exact good:vi8,kf16:vf16", "", 0},
    {A "d64 v48 h3 p32 l1 qf32 obf16 if32 tight good:vi8", "w=16,vch=16", 512},
    {A "d64 v16 h2 p32 l1 qf32 of16 if32 tight good:vi8", "w=16,vch=16", 512},
    {A "d32 v32 h16 p16 l0 qbf16 obf16 if32 fast kbf16:vbf16", "w=4,query=f32", 0},
    {A "d64 v64 h2 p32 l0 qbf16 of32 if32 tight high:vi8,kf32:vf32,kf16:vbf16", "", 0},
};

#undef A
#undef T

/* ---- rope ---------------------------------------------------------------------------- */

#define A "attn_decode "
#define E "kv_encode "
#define D "page_decode "
#define T " qf32 of32 if32 tight "
#define MEAN " mean"
#define PERM " permutation"

static const kernel_row rope[] = {
    {A "d64 v64 h4 p64 l1" T "sharp:vi8", "", 0},
    {A "d128 v128 h4 p32 l1" T "thin:vi8", "", 0},
    {A "d64 v64 h2 p64 l1" T "sharp:vi8,kf16p:vf16", "", 0},
    {A "d64 v64 h3 p64 l1" T "thin:vi8,kf16:vf16", "", 0},
    {A "d64 v64 h2 p64 l1" T "good:vi8,sharp:vi4,kf16p:vf16,kf16:vf16", "", 0},
    {A "d96 v64 h5 p48 l0" T "g3b5r8s6p:vi8,kbf16p:vf16", "", 0},
    {A "d64 v64 h1 p32 l1" T "ki8p:vi8,ki4p:vi8,kf8p:vf8", "", 0},
    {A "d16 v16 h16 p16 l0" T "g2b4r8p:vf32,kf32p:vf32", "", 0},
    {A "d64 v64 h4 p64 l1" T "sharp:vi8,kf16p:vf16" MEAN, "", 0},
    {A "d64 v64 h4 p64 l1" T "thin:vi8,good:vi8,kf16:vf16" MEAN PERM, "", 0},
    {A "d80 v80 h2 p32 l1" T "g2b4r16sDp:vi8,high:vi8" PERM, "lut=perm", 512},
    {A "d64 v64 h2 p64 l1" T "sharp:vi8,lean:vi8", "w=4,lut=rebuild,ktok=1", 128},
    {A "d64 v64 h2 p64 l1" T "sharp:vi8,good:vi8,kf16p:vf16", "w=8,ktok=4,lut_build=separate", 256},
    {A "d64 v64 h9 p64 l1" T "thin:vi8,kf16p:vi8", "w=16,ktok=2", 512},
    {A "d64 v64 h4 p64 l1 qf32 of32 if32 exact sharp:vf32,kf32p:vf32" MEAN, "", 0},
    {A "d64 v64 h4 p64 l1 qf16 of16 if32 fast sharp:vi8,kf16p:vf16", "", 0},
    {A "d64 v64 h2 p64 l1" T "sharp:vi8,kf16p:vf16,good:vi8 softcap window positions queries", "", 0},
    {A "d64 v64 h2 p32 l1" T "thin:vi8,kf16:vf16 queries", "", 0},
    {A "d64 v64 h3 p64 l1 qf32 of32 if32 fast sharp:vi8,fine:vi8,kf16p:vf16" MEAN PERM, "w=16,lut=rebuild,ktok=4", 512},
    {A "d96 v64 h5 p64 l0 qf32 of32 if32 fast g3b7r8s6p:vi8,g8b6r4:vi8", "w=16,lut=rebuild,ktok=2", 512},
    {A "d96 v64 h5 p64 l0 qf32 of32 if32 exact g3b7r8s6:vf32,g8b6r4p:vi8,g1b8r16sDp:vi8", "w=16,lut=rebuild,ktok=2", 512},
    {E "d64 v64 h1 p64 l1" T "sharp:vi8,kf16p:vf16", "", 0},
    {E "d64 v64 h1 p64 l1" T "good:vi8,kf16:vf16 positions", "", 0},
    {"kv_append d64 v64 h1 p64 l1" T "kf16:vf16 positions", "", 0},
    {D "d64 v64 h1 p64 l1" T "good:vi8,kf16:vf16 positions", "", 0},
    {E "d96 v96 h1 p32 l1" T "thin:vi4,kbf16p:vf16" MEAN PERM, "", 0},
    {E "d64 v64 h1 p48 l0" T "ki8p:vi8,kf32p:vf32", "w=4", 0},
    {E "d64 v64 h1 p64 l1" T "kf8p:vf16,kf16p:vf16", "w=16", 512},
    {"kv_append d64 v64 h1 p64 l1" T "kf16p:vf16", "", 0},
    {"kv_append d48 v80 h1 p32 l0 qf32 of32 if16 tight kf32p:vbf16", "w=16", 512},
    {"page_gather d64 v64 h1 p64 l1" T "sharp:vi8,kf16p:vf16", "", 0},
    {D "d64 v64 h1 p64 l1" T "sharp:vi8,kf16p:vf16", "", 0},
    {D "d128 v128 h1 p32 l1 qf32 of16 if32 tight thin:vi8,good:vi8,kf32p:vf32", "", 0},
    {D "d96 v96 h1 p32 l1" T "g3b5r8s6p:vi8,ki4p:vi8" MEAN PERM, "w=4", 0},
    {D "d64 v64 h1 p64 l1 qf32 obf16 if32 tight sharp:vi8,lean:vi8" MEAN, "w=16", 512},
    {A "d96 v64 h4 p64 l1" T "64@g16b8r16s64+32@kf16p:vk,64@kf16+32@kf16p:vk", "", 0},
    {A "d96 v64 h2 p32 l1" T "64@good+32@g4b8r16s32p:vi8,64@ki8+32@kbf16p:vf16,kf16:vf16" MEAN, "", 0},
    {A "d128 v64 h3 p64 l1" T "64@sharp+64@kf16p:vi8" MEAN, "w=16,ktok=2", 512},
    {A "d80 v48 h5 p48 l0" T "32@g4b5r8p+48@g8b4r4s16p:vf32" MEAN, "w=4", 128},
    {A "d64 v48 h2 p32 l1 qf32 of32 if32 fast sharp:vk,kf16p:vk" MEAN PERM, "w=16,ktok=2", 512},
    {A "d64 v64 h4 p64 l1 qf32 of32 if32 exact kf32p:vk,g2b4r16sDp:vk", "", 0},
    {A "d96 v80 h3 p64 l1" T "32@ki8+64@thin:vk,32@high+64@ki4p:vk" MEAN " positions queries", "", 0},
    {E "d96 v64 h1 p64 l1" T "64@g16b8r16s64+32@kf16p:vk,64@kf16+32@kf32p:vk" MEAN, "", 0},
    {E "d64 v64 h1 p64 l1" T "sharp:vk,kf16p:vk", "", 0},
    {"kv_append d96 v64 h1 p32 l1" T "64@kf16+32@kf16p:vk", "", 0},
    {D "d96 v64 h1 p32 l1" T "64@g16b8r16s64+32@kf16p:vk,64@kf16+32@g4b8r8p:vi8" MEAN, "", 0},
    {D "d96 v96 h1 p64 l1 qf32 of16 if32 tight 32@good+64@sharp:vk,32@ki8+64@kf8p:vk", "w=8", 256},
    {D "d64 v48 h1 p64 l1" T "thin:vk,kf16p:vk" MEAN PERM, "", 0},
    {"token_compact d96 v64 h1 p32 l1" T "64@g16b8r8+32@kf16p:vk,64@kf16+32@kf16p:vk", "", 0},
};

#undef A
#undef E
#undef D
#undef T
#undef MEAN
#undef PERM

/* ---- rows ---------------------------------------------------------------------------- */

#define E(d, p, l, tiers) "kv_encode d" d " v" d " h1 p" p " l" l " qf32 of32 if32 tight " tiers
#define P(d, p, l, tier) "kv_append d" d " v" d " h1 p" p " l" l " qf32 of32 if32 tight " tier

static const kernel_row rows[] = {
    {P("64", "64", "0", "kf16:vf16"), "", 0},
    {P("64", "64", "1", "kf16:vf16"), "w=4", 0},
    {P("128", "128", "1", "kf16:vf16"), "w=8", 256},
    {P("64", "32", "0", "kbf16:vf16"), "", 0},
    {P("128", "64", "1", "kbf16:vf16"), "", 0},
    {"kv_append d64 v128 h1 p32 l1 qf32 of32 if16 tight kf16:vbf16", "", 0},
    {"kv_append d64 v32 h1 p32 l0 qf32 of32 ibf16 tight kf32:vf16", "", 0},
    {E("64", "64", "1", "good:vi8,kf16:vf16"), "", 0},
    {E("128", "128", "1", "good:vi8,kf16:vf16"), "", 0},
    {E("64", "64", "0", "good:vf16,kf16:vf16"), "", 0},
    {E("64", "64", "1", "high:vi8,kf16:vf16"), "", 0},
    {E("128", "32", "0", "high:vf16,kbf16:vf16"), "", 0},
    {E("64", "64", "1", "mid:vi8,kf16:vf16"), "", 0},
    {E("144", "32", "1", "g18b4r8:vi8,kf16:vf16"), "", 0}, /* long groups, not of fours */
    {E("96", "32", "1", "g24b5r16:vi8,kf16:vf16"), "", 0},
    {E("64", "32", "0", "mid:vf16,kbf16:vf16"), "", 0},
    {E("64", "64", "1", "low:vi8,kf16:vf16"), "", 0},
    {E("128", "64", "0", "low:vf16,kf16:vf16"), "", 0},
    {E("64", "64", "1", "lean:vi8,kf16:vf16"), "", 0},
    {E("64", "32", "0", "lean:vf16,kf16:vf16"), "", 0},
    {E("64", "64", "1", "kf16:vi8,kf16:vf16"), "", 0},
    {E("64", "64", "0", "kbf16:vf16,kf16:vf16"), "", 0},
    {E("64", "32", "1", "fine:vf32,kf32:vf32"), "", 0},
    {E("64", "32", "1", "turbo:vi8,kf16:vf16"), "", 0},
    {E("64", "16", "0", "g4b5r4:vbf16,kbf16:vbf16"), "", 0},
    {E("64", "64", "1", "good:vi8,kf16:vf16"), "w=4,etok=1", 256},
    {E("64", "64", "1", "good:vi8,kf16:vf16"), "w=8,etok=2", 256},
    {E("64", "64", "1", "good:vi8,kf16:vf16"), "w=8,etok=4", 256},
    {E("64", "64", "1", "good:vi8,kf16:vf16"), "w=16,etok=1", 512},
    {E("64", "32", "1", "fine:vi8,kf16:vf16"), "w=16,etok=2", 512}, /* searched by distance */
    {E("64", "64", "0", "turbo:vi8,kf16:vf16"), "w=16,etok=4", 512},
    {E("64", "16", "1", "g1b3r8s4:vf16,kf16:vf16"), "w=8,etok=1", 256},
    {E("64", "48", "1", "g1b3r8s4:vi4,kf16:vf32"), "w=8,etok=2,search=sorted", 256},
    {E("64", "64", "1", "turbo:vi4,kf16:vf16"), "w=16,etok=1,search=sorted", 512},
    {E("64", "64", "1", "high:vi8,kf16:vf16"), "w=16,etok=1,search=dots", 512},
    {E("64", "48", "1", "low:vi4,kf16:vf32"), "w=8,etok=2,search=dots", 256},
    {E("64", "64", "0", "g2b2r8:vi8,kf32:vbf16"), "w=4,etok=4,search=dots", 0},
    {E("64", "64", "0", "g1b2r8s16:vi8,kf32:vbf16"), "w=4,etok=4,search=sorted", 0},
    {E("64", "32", "1", "g2b2r16sD:vi4,kf32:vf16"), "w=16", 512}, /* fewer codewords than lanes */
    {E("64", "64", "0", "g8b5r4:vi8,kf16:vf16"), "w=16", 512}, /* fields packed in vectors */
    {E("64", "64", "1", "g4b7r8sD:vf16,kbf16:vf16"), "w=8,etok=2", 256},
    {E("80", "192", "1", "g16b4r8:vi8,kf16:vf16"), "w=16", 512}, /* an odd number of blocks */
    {E("64", "64", "1", "good:vi4,kf16:vf16"), "", 0},
    {E("128", "16", "0", "kf16:vi4,kf32:vf32"), "w=4", 0},
    {E("64", "32", "1", "mid:vi4,kbf16:vbf16"), "w=16,etok=1", 512},
    {E("64", "64", "1", "good:vf8,kf16:vf16"), "", 0},
    {E("128", "16", "0", "kf16:vf8,kf32:vf32"), "w=4", 0},
    {E("64", "32", "1", "mid:vf8,kbf16:vbf16"), "w=16,etok=1", 512},
    {E("48", "64", "1", "g16b4r16sD:vi8,kf16:vf16"), "w=16", 512}, /* 3 groups of 8 words */
};

#undef E
#undef P

/* ---- schedule ------------------------------------------------------------------------ */

#define S(p, tiers) "attn_schedule d64 v64 h1 p" p " l1 qf32 of32 if32 tight " tiers

static const kernel_row schedule[] = {
    {S("16", "kf16:vf16"), "w=4", 256},
    {S("64", "good:vi8,kf16:vf16"), "", 0},
    {S("32", "high:vi8,low:vi8,kf32:vf32"), "w=8", 256},
    {S("256", "low:vi8,kf32:vf32"), "w=16", 512},
};

#undef S

/* ---- segments ------------------------------------------------------------------------ */

#define A(d, v, h, p, l) "attn_decode d" d " v" v " h" h " p" p " l" l " "
#define T "qf32 of32 if32 tight "
#define E(d, p) "kv_encode d" d " v48 h1 p" p " l1 " T

static const kernel_row segments[] = {
    {A("128", "64", "4", "64", "1") T "96@g4b8r16s96+32@kf16:vi8,kf16:vf16", "", 0},
    {A("128", "64", "2", "64", "1") T "64@good+64@high:vi8", "", 0},
    {A("128", "64", "3", "64", "1") T "64@good+64@turbo:vi4,good:vi8", "", 0},
    {A("64", "32", "5", "32", "0") T "16@ki8+32@mid+16@ki4:vf16", "", 0},
    {A("128", "64", "2", "64", "1") T "64@mid+32@fine+32@ki8:vi8", "lut=perm", 256},
    {A("128", "64", "4", "64", "1") T "96@g4b8r16s96+32@kf16:vi8,kf16:vf16", "lut=rebuild", 0},
    {A("128", "64", "2", "64", "1") T "64@good+32@lean+32@ki8:vi8", "lut=rebuild,w=16,ktok=2", 512},
    {A("128", "64", "2", "64", "1") "qf32 of32 if32 fast 64@good+32@lean+32@g4b7r8s32:vi8", "lut=rebuild,w=16,ktok=2", 512},
    {A("96", "48", "20", "16", "0") "qf16 of16 if32 tight 64@high+32@kbf16:vf16", "w=4", 128},
    {A("96", "48", "3", "32", "1") "qf32 of32 if32 exact 48@g8b4r8s16+48@ki8:vi8", "", 0},
    {A("96", "64", "2", "64", "1") "qbf16 of32 if32 fast 32@kf8+32@kf32+32@low:vf8,ki8:vi8", "", 0},
    {A("96", "64", "3", "64", "1") T "64@good+32@kf16:vi8,high:vi8,kf16:vf16 mean", "", 0},
    {A("96", "64", "3", "32", "1") T "32@kf16+64@high:vi8,32@lean+64@kf16:vf16 mean", "lut=rebuild", 0},
    {A("96", "64", "2", "64", "1") T "64@good+32@high:vi8,kf16:vf16 mean permutation", "", 0},
    {A("96", "64", "2", "64", "1") T "64@good+32@high:vi8,good:vi8 mean permutation", "lut=rebuild", 0},
    {E("128", "64") "96@g4b8r16s96+32@kf16:vi8,kf16:vf16", "", 0},
    {"page_decode d128 v48 h1 p64 l1 " T "96@g4b8r16s96+32@kf16:vi8,64@mid+64@ki4:vf16", "", 0},
    {"page_decode d96 v48 h1 p48 l0 qf32 of16 if32 tight 32@kf8+64@g16b4r8:vi4,64@fine+32@low:vi8 mean", "", 0},
    {"page_decode d96 v32 h1 p32 l1 " T "32@high+64@turbo:vi8,32@kf32+64@lean:vi8", "w=16,lut=rows", 512},
    {E("128", "64") "32@ki8+64@good+32@kf8:vf8,kbf16:vf16", "", 0},
    {E("96", "48") "16@ki4+64@g8b5r4+16@kf32:vi4,kf32:vf32", "w=4", 128},
    {E("96", "32") "48@ki8+48@ki4:vf16,kf16:vf16", "w=16", 512},
    {E("96", "64") "32@kf16+64@high:vi8,kf16:vf16 mean", "", 0},
    {E("96", "64") "64@g16b8r16s64+32@kf16:vk,64@kf16+32@kf32:vk", "", 0},
    {E("128", "32") "32@ki8+32@kf8+64@high:vi8,64@kbf16+64@kf32:vf16", "", 0},
    {E("128", "48") "16@ki4+48@kf8+48@kf16+16@ki8:vf8,64@kf16+64@kbf16:vf32", "w=4", 128},
    {E("96", "32") "good:vi4,32@kf16+64@kf32:vf16 mean", "w=16,etok=2", 512},
    {E("96", "64") "32@high+64@lean:vf16,48@kf32+16@kf16+32@kbf16:vbf16 mean permutation", "w=8", 256},
    {"kv_append d96 v48 h1 p64 l1 " T "64@kf16+32@kf32:vk", "", 0},
    {"kv_append d80 v64 h1 p48 l0 qf32 of32 ibf16 tight 16@kf32+32@kbf16+32@kf16:vf16", "w=4", 0},
    {"kv_append d128 v32 h1 p32 l1 qf32 of32 if16 tight 96@kbf16+32@kbf16:vf32 positions", "w=16", 512},
    {E("96", "64") "64@good+32@high:vi8,kf16:vf16 mean permutation", "etok=4", 0},
};

#undef A
#undef E
#undef T

/* ---- sinks --------------------------------------------------------------------------- */

#define A(d, h, p, l, class) "attn_decode d" d " v" d " h" h " p" p " l" l " qf32 of32 if32 " class " "

static const kernel_row sinks[] = {
    {A("64", "4", "64", "1", "tight") "kf16:vi8", "", 0},
    {A("64", "4", "128", "1", "tight") "good:vi8,kf16:vf16", "", 0},
    {A("64", "1", "256", "1", "tight") "kf32:vi8", "w=8,vch=32,vtok=4", 256},
    {A("32", "7", "16", "1", "tight") "kf16:vi8", "w=4,vch=8", 0},
    {A("64", "2", "128", "1", "tight") "kf16:vi8", "w=16,vch=16", 512},
    {A("64", "4", "128", "0", "tight") "kf16:vi4", "", 0},
    {A("48", "16", "32", "1", "tight") "kf16:vi4", "w=4,vch=8,prob=i16", 0},
    {A("64", "2", "64", "1", "tight") "high:vi4,kf16:vi8", "w=16,vch=16", 512},
    {A("64", "4", "128", "1", "fast") "kf16:vi8,kf32:vi4", "", 0},
    {A("64", "4", "64", "1", "exact") "kf16:vi8,kf32:vi4", "", 0},
    {A("64", "4", "128", "1", "fast") "kf16:vi8,kf32:vi4,kbf16:vf16", "w=16,vch=16,prob=u8", 512},
    {A("64", "3", "256", "0", "fast") "kf16:vi4,kf16:vbf16", "w=16,vch=32,prob=u8", 512},
    {A("64", "4", "128", "1", "tight") "kf16:vi8,kf32:vi4", "w=16,vch=16,prob=u16", 512},
    {A("64", "1", "256", "0", "tight") "kf32:vi4", "w=16,vch=32,vtok=4,prob=u16", 512},
};

#undef A

/* ---- lost ---------------------------------------------------------------------------- */

#define L(class, variants) "attn_decode d16 v32 h2 p128 l1 qf32 of32 if32 " class " kf32:vi8 " variants

/* Pages of 128 dense keys, values vi8, with bias (test_kernel_lost.c). */
static const kernel_row lost[] = {
    {L("fast", "bias"), "w=16,vch=16,prob=u8", 512},
    {L("fast", "bias queries"), "w=16,vch=16,prob=u8", 512},
    {L("fast", "bias"), "w=8,vch=16,prob=u7", 256},
    {L("tight", "bias queries"), "w=16,vch=16,prob=u16", 512},
    {L("tight", "bias"), "w=8,vch=16,prob=i16", 256},
};

#undef L

/* ---- spans --------------------------------------------------------------------------- */

#define S(d, h, p, l, tiers)                                                                       \
    "attn_decode d" d " v" d " h" h " p" p " l" l " qf32 of32 if32 tight " tiers

static const kernel_row spans[] = {
    {S("64", "3", "64", "0", "lean:vf16"), "", 0},
    {S("128", "1", "32", "1", "lean:vf16"), "", 0},
    {S("128", "4", "64", "0", "lean:vi8"), "", 0},
    {S("64", "8", "32", "1", "lean:vi8"), "", 0},
    {S("64", "1", "64", "0", "good:vf16"), "", 0},
    {S("128", "2", "128", "1", "good:vf16"), "", 0},
    {S("64", "3", "64", "0", "good:vi8"), "", 0},
    {S("128", "4", "64", "1", "good:vi8"), "", 0},
    {S("64", "5", "64", "1", "good:vi8"), "", 0},
    {S("64", "7", "32", "1", "good:vi8"), "", 0},
    {S("64", "8", "64", "1", "good:vi8"), "", 0},
    {S("64", "12", "64", "1", "good:vi8"), "", 0},
    {S("64", "16", "64", "1", "good:vi8"), "", 0},
    {S("64", "2", "64", "1", "fine:vi8"), "", 0},
    {S("64", "1", "64", "1", "turbo:vi8"), "", 0},
    {S("64", "2", "64", "1", "g4b5r4:vf16"), "", 0},
    {S("64", "2", "64", "0", "g4b4r8s16:vi8"), "", 0},
};

#undef S

/* ---- values -------------------------------------------------------------------------- */

#define A(d, v, h, p, l) "attn_decode d" d " v" v " h" h " p" p " l" l " "
#define T "qf32 of32 if32 tight "
#define X "qf32 of32 if32 exact "
#define F "qf32 of32 if32 fast "

static const kernel_row values[] = {
    {A("64", "64", "4", "64", "1") T "good:vi4", "", 0},
    {A("64", "128", "4", "64", "1") T "good:vi4,kf16:vf16", "", 0},
    {A("64", "48", "1", "16", "0") T "kf16:vi4", "", 0},
    {A("64", "256", "3", "32", "1") T "high:vi4", "", 0},
    {A("16", "32", "16", "256", "1") T "kf16:vi4", "", 0},
    {A("64", "64", "2", "64", "1") X "good:vi4,kf16:vf16", "", 0},
    {A("64", "64", "2", "64", "1") T "kf16:vi4", "prob=f32", 0},
    {A("64", "64", "2", "64", "0") "qf32 of32 if32 fast lean:vi4", "", 0},
    {A("64", "80", "2", "64", "1") T "kf16:vi4", "w=4,vch=8,vtok=1,prob=i16", 0},
    {A("64", "64", "2", "64", "1") T "kf16:vi4", "w=4,vch=32,vtok=8,prob=i16", 0},
    {A("64", "64", "2", "64", "1") T "kf16:vi4", "w=8,vch=8,vtok=4", 256},
    {A("64", "64", "3", "32", "1") X "kf16:vi4", "w=8,vch=32,vtok=2", 256},
    {A("64", "64", "2", "64", "0") T "kf16:vi4", "w=16,vch=16,vtok=1", 512},
    {A("64", "64", "5", "32", "1") X "good:vi4", "w=16,vch=32,vtok=2", 512},
    {A("64", "64", "4", "64", "1") T "good:vf8", "", 0},
    {A("64", "128", "4", "64", "1") T "good:vf8,kf16:vf16", "", 0},
    {A("64", "48", "1", "16", "0") X "kf16:vf8", "", 0},
    {A("32", "96", "16", "48", "1") T "kbf16:vf8,mid:vi4", "", 0},
    {A("64", "80", "2", "64", "1") T "kf16:vf8", "w=4,vch=8,vtok=4", 0},
    {A("64", "64", "2", "64", "0") T "kf16:vf8", "w=8,vch=32,vtok=1", 256},
    {A("64", "64", "5", "32", "1") X "good:vf8", "w=16,vch=32,vtok=2", 512},
    {A("64", "64", "4", "64", "1") F "kf16:vi8", "w=16,vch=16,prob=u8", 512},
    {A("64", "96", "3", "128", "1") F "good:vi8,kf16:vf16", "w=16,lut=rows,vch=32,vtok=1,prob=u8", 512},
    {A("64", "128", "9", "64", "1") F "kf16:vi8,kbf16:vi4", "w=16,vch=32,vtok=8,prob=u8", 512},
    {A("64", "64", "2", "64", "0") F "kf16:vi4,kf16:vi8", "w=16,vch=16,vtok=4,prob=u8", 512},
    {A("64", "80", "1", "192", "1") F "lean:vi4,kf16:vbf16", "w=16,vch=16,vtok=2,prob=u8", 512},
    {A("64", "64", "16", "64", "1") F "kf16:vf16", "w=16,vch=64,vtok=4,prob=u8", 512},
    {A("64", "112", "5", "32", "0") F "kf16:vbf16,kf32:vf32", "w=16,vch=16,vtok=1,prob=u8", 512},
    {A("64", "64", "4", "96", "1") F "kf16:vf16,kf16:vf8", "w=16,vch=32,vtok=8,ktok=2,prob=u8", 512},
    {A("64", "64", "4", "64", "1") F "kf16:vi8,kf16:vi4", "w=8,vch=16,vtok=2,prob=u8,query=f32", 512},
    {A("64", "96", "3", "128", "1") F "good:vi4,kf16:vf16", "w=4,lut=rows,vch=32,vtok=1,prob=u8,query=f32", 512},
    {A("64", "64", "9", "64", "1") F "kf16:vi8,kf16:vi4", "w=8,vch=64,vtok=4,prob=u7,query=f32", 512},
    {A("64", "80", "5", "32", "1") F "kf16:vi4,kf16:vi8,kf16:vf16", "w=4,vch=16,vtok=2,prob=u7,query=f32", 512},
    {A("64", "128", "2", "64", "1") F "kf16:vi8,kbf16:vi4", "w=16,vch=32,vtok=8,prob=u7", 512},
    {A("64", "64", "4", "64", "1") T "kf16:vi8", "w=16,vch=16,prob=u16", 512},
    {A("64", "128", "16", "128", "1") T "kf16:vi8,kf16:vi4", "w=16,vch=64,vtok=2,prob=u16", 512},
    {A("64", "80", "3", "64", "0") T "high:vi4,kf16:vf16", "w=16,vch=16,vtok=1,prob=u16", 512},
    {A("64", "64", "2", "256", "1") F "kf16:vi4", "w=16,vch=32,vtok=8,prob=u16", 512},
};

#undef A
#undef T
#undef X
#undef F

/* ---- vk ------------------------------------------------------------------------------ */

#define A(d, v, h, p, l) "attn_decode d" d " v" v " h" h " p" p " l" l " "
#define T "qf32 of32 if32 tight "

static const kernel_row vk[] = {
    {A("64", "48", "4", "32", "1") T "kf16:vk", "", 0},
    {A("64", "64", "3", "64", "1") T "good:vk,kf16:vk", "", 0},
    {A("80", "64", "5", "16", "0") T "64@high+16@kf16:vk,kf16:vk", "", 0},
    {A("96", "48", "2", "64", "1") T "32@good+64@lean:vk,ki8:vk", "lut=rebuild", 0},
    {A("64", "32", "20", "32", "1") "qf16 of16 if32 fast ki4:vk,kf8:vk,kf16:vi8", "w=4", 128},
    {A("64", "32", "2", "64", "1") "qf32 of32 if32 exact mid:vk,ki8:vk,kf32:vf32", "w=16", 512},
    {A("64", "48", "3", "32", "1") T "high:vk,good:vi8,kbf16:vk mean permutation", "", 0},
    {A("64", "48", "3", "32", "1") T "high:vk,kf16:vk mean permutation", "lut=rebuild", 0},
    {A("96", "80", "3", "32", "1") T "32@kf16+32@mid+32@high:vk,64@high+32@ki8:vk mean", "", 0},
    {A("96", "80", "3", "32", "1") T "32@kf16+32@mid+32@high:vk,kf16:vf16 mean", "lut=rebuild", 0},
    {A("576", "512", "24", "16", "1") T "512@g16b4r8+64@kf16:vk,kf16:vk", "", 0},
    {A("64", "48", "3", "32", "1") T "high:vk,kf16:vk softcap window queries", "", 0},
    {A("96", "64", "2", "32", "1") T "32@lean+32@mid+32@kf16:vk,kf16:vk mean bias positions queries", "", 0},
    /* codes that end with the page: nothing behind them is read */
    {A("64", "64", "1", "64", "1") "qf32 of32 if32 fast g4b2r16sD:vk", "w=16,lut=byte", 512},
    {A("16", "16", "2", "64", "1") "qf32 of32 if32 fast g8b2r8:vk,g8b2r4sD:vk", "w=16,lut=byte", 512},
    {A("64", "64", "1", "64", "1") "qf32 of32 if32 fast g4b2r16sD:vk", "w=8,lut=byte", 256},
    {A("16", "16", "2", "64", "1") "qf32 of32 if32 fast g8b2r8:vk,g2b5r4sD:vk", "w=8,lut=byte", 256},
    {A("64", "64", "1", "64", "1") T "g4b6r16sD:vk,g4b3r16sD:vk", "w=16,lut=rebuild", 512},
    {A("64", "64", "1", "64", "1") T "g4b6r16sD:vk", "w=16,lut=rows", 512},
    {A("64", "64", "1", "64", "1") T "good:vk", "w=16,lut=rebuild", 512},
    {A("64", "64", "1", "64", "1") T "good:vk", "w=16,lut=word", 512},
    {A("64", "64", "4", "64", "1") T "high:vk,48@g16b6r8+16@ki8:vk", "w=16,lut=word", 512},
    {"page_decode d64 v64 h1 p64 l1 " T "g4b6r16sD:vk,g4b3r16sD:vk", "", 0},
    {"page_decode d64 v48 h1 p32 l1 " T "good:vk,kf16:vk,high:vi8 mean permutation", "", 0},
    {"page_decode d96 v80 h1 p64 l1 qf32 of16 if32 tight 64@good+32@ki8:vk,32@kf16+64@lean:vk mean", "", 0},
    {"page_decode d96 v32 h1 p16 l0 qf32 obf16 if32 tight 32@g8b8r16s32+64@mid:vk", "w=8", 256},
    {"kv_append d64 v48 h1 p32 l1 " T "kf16:vk", "", 0},
    {"kv_append d80 v80 h1 p16 l0 qf32 of32 if16 tight kf32:vk", "w=4", 128},
    {"kv_encode d64 v48 h1 p64 l1 " T "good:vk,kf16:vk", "", 0},
    {"kv_encode d80 v64 h1 p48 l1 " T "64@high+16@kbf16:vk,kf16:vf16", "", 0},
    {"kv_encode d80 v64 h1 p16 l1 " T "ki4:vk,kf32:vk", "w=4", 128},
    {"kv_encode d64 v64 h1 p64 l1 " T "fine:vk,kf16:vk", "w=16,etok=1", 512}, /* to the page's last byte */
    {"kv_encode d64 v64 h1 p64 l1 " T "g4b3r16sD:vk,kf16:vk", "w=8,etok=1", 256},
    {"kv_encode d80 v64 h1 p32 l0 " T "16@kf8+64@g8b5r4:vk,kf16:vk mean", "w=16,etok=1", 512},
};

#undef A
#undef T

/* ---- wide ---------------------------------------------------------------------------- */

#define A(d, v, h, p, l) "attn_decode d" d " v" v " h" h " p" p " l" l " "
#define T "qf32 of32 if32 tight "

static const kernel_row wide[] = {
    {A("64", "64", "17", "32", "1") T "good:vi8,kf16:vf16", "", 0},
    {A("64", "64", "32", "64", "1") T "good:vi8,kf16:vf16", "", 0},
    {A("32", "16", "71", "16", "0") T "kf16:vf16", "", 0},
    {A("64", "32", "40", "64", "1") T "ki8:vi4,mid:vi8", "w=16,lut=perm", 512},
    {A("32", "32", "128", "32", "1") "qf16 of16 if32 fast ki4:vi8", "", 0},
    {A("48", "48", "24", "16", "0") "qbf16 obf16 if32 exact g8b4r8s16:vf32", "w=4", 128},
    {A("64", "64", "20", "32", "1") T "high:vi8,kf16:vf16 mean permutation", "", 0},
    {A("192", "128", "4", "32", "1") T "good:vi8,kf16:vf16", "", 0},
    {A("576", "512", "2", "16", "1") T "kf16:vf16", "", 0},
    {A("512", "512", "1", "64", "1") T "good:vi4,ki8:vi8", "", 0},
    {A("320", "576", "3", "16", "0") T "high:vi8,kbf16:vf16", "", 0},
    {"kv_append d576 v512 h1 p16 l1 qf32 of32 if32 tight kf16:vf16", "", 0},
    {"kv_encode d192 v128 h1 p16 l1 qf32 of32 if32 tight good:vi8,kf16:vf16", "", 0},
    {"kv_encode d576 v512 h1 p16 l1 qf32 of32 if32 tight mid:vi4,kf16:vf16", "", 0},
    {"page_decode d576 v512 h1 p16 l1 qf32 of16 if32 tight good:vi8,kf16:vf16", "", 0},
    {"page_retier d576 v512 h1 p16 l1 qf32 of32 if32 tight mid:vi4,good:vi8", "", 0},
};

#undef A
#undef T

/* ---- variants ------------------------------------------------------------------------ */

#define A "attn_decode "
#define T " qf32 of32 if32 tight "

static const kernel_row variants[] = {
    {A "d64 v64 h2 p32 l1" T "kf16:vf16 softcap", "", 0},
    {A "d64 v64 h2 p32 l1" T "kf16:vf16 sink", "", 0},
    {A "d64 v64 h3 p32 l1" T "kf16:vf16 headscale", "", 0},
    {A "d64 v64 h2 p32 l1" T "kf16:vf16 window", "", 0},
    {A "d64 v64 h2 p32 l1" T "kf16:vf16 bias", "", 0},
    {A "d64 v64 h2 p32 l1" T "kf16:vf16 positions", "", 0},
    {A "d64 v64 h2 p32 l1" T "kf16:vf16 queries", "", 0},
    {A "d64 v64 h4 p64 l1" T "good:vi8,kf16:vf16 queries", "", 0},
    {A "d64 v64 h4 p64 l1" T "good:vi8,kf16:vf16 window queries", "", 0},
    {A "d64 v64 h4 p64 l1" T "good:vi8,kf16:vf16 window positions queries", "", 0},
    {A "d64 v64 h4 p64 l1" T "good:vi8,kf16:vf16 softcap sink headscale window bias positions queries", "", 0},
    {A "d64 v64 h4 p64 l1" T "good:vi8,kf16:vf16 softcap sink headscale window bias queries", "", 0},
    {A "d64 v64 h4 p64 l1" T "good:vi8,kf16:vf16 softcap sink headscale bias", "lut_build=separate", 0},
    {A "d64 v64 h5 p64 l1" T "good:vi8,kf16:vf16 mean permutation queries", "lut=rows", 0},
    {A "d64 v64 h2 p64 l1" T "mid:vi8,ki8:vi4 mean permutation headscale queries", "lut=perm", 0},
    {A "d64 v64 h16 p64 l0" T "high:vi8,ki4:vf8,kf16:vf16 softcap queries", "", 0},
    {A "d64 v48 h1 p32 l1 qf16 of16 if32 tight good:vi8,kf16:vf16 sink positions queries", "", 0},
    {A "d64 v64 h2 p32 l1 qbf16 obf16 if32 fast ki8:vi8,kbf16:vbf16 window bias positions", "", 0},
    {A "d64 v64 h2 p32 l1 qf32 of32 if32 exact kf32:vf32,good:vi8 softcap sink headscale window bias positions queries", "", 0},
    {A "d64 v64 h2 p32 l1 qf32 of32 if32 exact good:vi8,kf32:vf32 softcap bias", "", 0},
    {A "d64 v64 h3 p16 l0" T "high:vi4 softcap window queries", "w=4", 128},
    {A "d64 v64 h3 p32 l1" T "mid:vi4,kf16:vf16 bias positions queries", "w=8", 256},
    {A "d64 v64 h3 p64 l1" T "good:vi8 softcap sink window positions queries", "w=16,lut=rows", 512},
    {A "d64 v64 h20 p32 l1" T "high:vi8,kf16:vf16 mean permutation sink headscale bias queries", "", 0},
    {A "d96 v64 h3 p64 l1" T "64@good+32@kf16:vi8,kf16:vf16 softcap headscale window queries", "", 0},
    {A "d96 v96 h2 p64 l1" T "64@good+32@ki8:vi8,high:vf16 mean sink positions queries", "", 0},
    {A "d64 v64 h4 p64 l1" T "good:vi8,kf16:vf16 mean permutation bias queries", "lut=rebuild", 0},
};

#undef A
#undef T

const kernel_table kernel_tables[] = {
#define T(name) {#name, name, SK_COUNT(name)}
    T(books), T(bytes), T(codes), T(compact), T(decode), T(dense), T(extend), T(formats), T(gather), T(keys), T(lost), T(mass), T(merge), T(mixed), T(mixes), T(narrow), T(retier), T(rope), T(rows), T(schedule), T(segments), T(sinks), T(spans), T(values), T(variants), T(vk), T(wide),
#undef T
};
const uint32_t kernel_ntables = SK_COUNT(kernel_tables);

const kernel_table *kernel_table_get(const char *name)
{
    for (uint32_t i = 0; i < kernel_ntables; i++)
        if (strcmp(kernel_tables[i].name, name) == 0)
            return &kernel_tables[i];
    return NULL;
}
