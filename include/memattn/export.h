// Marks what the shared library shows; everything else stays hidden.
#pragma once

#define MEMATTN_EXPORT __attribute__((visibility("default")))
