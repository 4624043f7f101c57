// Memory for the scores of one call, which the layer fills and reads.
#include "memattn/scores_cache.h"

#include "check.h"
#include "layer/scores_cache_impl.h"

namespace memattn {

template <typename T>
T* ScoresCache<T>::Impl::start(std::int64_t size) {
  holds = false;
  if (size > max_bytes / static_cast<std::int64_t>(sizeof(T))) return nullptr;
  if (values.size() < static_cast<std::size_t>(size)) {
    values = kernels::AlignedVector<T>();  // frees before it allocates; = {} would keep the memory
    values.resize(static_cast<std::size_t>(size));
  }
  return values.data();
}

template <typename T>
ScoresCache<T>::ScoresCache(std::int64_t max_bytes) : impl_(std::make_unique<Impl>()) {
  if (max_bytes < 0) fail_argument("ScoresCache", "max_bytes", max_bytes, "at least 0");
  impl_->max_bytes = max_bytes;
}
template <typename T>
ScoresCache<T>::ScoresCache(ScoresCache&&) noexcept = default;
template <typename T>
ScoresCache<T>& ScoresCache<T>::operator=(ScoresCache&&) noexcept = default;
template <typename T>
ScoresCache<T>::~ScoresCache() = default;

template <typename T>
bool ScoresCache<T>::holds_scores() const {
  return impl_->holds;
}

template class ScoresCache<float>;
template class ScoresCache<double>;

}  // namespace memattn
