// The topics of the Python extension memattn._memattn, one init_<topic>() per file. They translate
// types and hold no logic: what can be decided in Python or in the library is decided there.
#pragma once

#include <nanobind/nanobind.h>

void init_conformal(nanobind::module_& m);    // intervals from errors of the past
void init_files(nanobind::module_& m);        // writing of files, escapes of untrusted text
void init_layer(nanobind::module_& m);        // MemoryAugmentedAttention, its options and masks
void init_hosted(nanobind::module_& m);       // the layers for frameworks that own their weights
void init_pair_layers(nanobind::module_& m);  // CrossAttention and HierarchicalAttention
void init_optimizers(nanobind::module_& m);   // Sgd, Adam, AdamW, clip_by_global_norm
void init_panel(nanobind::module_& m);        // PanelForecaster
void init_quick(nanobind::module_& m);        // QuickForecaster
void init_runtime(nanobind::module_& m);      // threads, instruction set, scratch
