// memattn: attention over a learned memory. A table of contents:
//
//   config.h                       the options of each layer, and their JSON
//   memory_augmented_attention.h   MemoryAugmentedAttention<T>: forward, backward, weights, files
//   cross_attention.h              CrossAttention<T>: one input reads another
//   hierarchical_attention.h       HierarchicalAttention<T>: two self-attentions, added
//   layer_file.h                   layer_file_info: which layer a file holds
//   scores_cache.h                 ScoresCache<T>: scores that forward keeps for backward
//   optimizers.h                   Sgd, Adam, AdamW, clip_by_global_norm
//   panel_forecaster.h             PanelForecaster: forecasts of many series by an ensemble of
//                                  networks
//   quick_forecaster.h             QuickForecaster: forecasts of short series without training
//   saved_forecaster.h             SavedForecaster: forecasts by a file that Python saved
//   error_loss.h                   ErrorLoss: the training losses of a forecaster
//   errors.h                       FormatError and the other exceptions
//   runtime.h                      active_isa, scratch_bytes, release_scratch
//   threads.h                      num_threads, ThreadLimit: the number of threads of a call
//   version.h                      the version, as numbers and text
#pragma once

#include "memattn/config.h"
#include "memattn/cross_attention.h"
#include "memattn/error_loss.h"
#include "memattn/errors.h"
#include "memattn/hierarchical_attention.h"
#include "memattn/layer_file.h"
#include "memattn/memory_augmented_attention.h"
#include "memattn/optimizers.h"
#include "memattn/panel_forecaster.h"
#include "memattn/quick_forecaster.h"
#include "memattn/runtime.h"
#include "memattn/saved_forecaster.h"
#include "memattn/scores_cache.h"
#include "memattn/threads.h"
#include "memattn/version.h"
