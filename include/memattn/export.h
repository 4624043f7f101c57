// Marks what the shared library shows; everything else stays hidden.
#pragma once

#if defined(_WIN32)
#define MEMATTN_EXPORT
#else
#define MEMATTN_EXPORT __attribute__((visibility("default")))
#endif
