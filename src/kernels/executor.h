// Runs independent pieces of work on the calling thread and the library's own threads.
#pragma once

#include <cstdint>
#include <memory>
#include <type_traits>

#include "kernels/thread_count.h"

namespace memattn::kernels {

// Refers to a callable that must outlive it, such as an argument; owns and allocates nothing.
template <typename Signature>
class FunctionRef;

template <typename Result, typename... Arguments>
class FunctionRef<Result(Arguments...) noexcept> {
 public:
  template <typename Function>
    requires(!std::is_same_v<std::remove_cvref_t<Function>, FunctionRef> &&
             std::is_nothrow_invocable_r_v<Result, Function&, Arguments...>)
  FunctionRef(Function&& function) noexcept
      : object_(const_cast<void*>(static_cast<const void*>(std::addressof(function)))),
        call_([](void* object, Arguments... arguments) noexcept -> Result {
          return (*static_cast<std::remove_reference_t<Function>*>(object))(arguments...);
        }) {}

  Result operator()(Arguments... arguments) const noexcept { return call_(object_, arguments...); }

 private:
  void* object_;
  Result (*call_)(void*, Arguments...) noexcept;
};

// Runs body(i) once for each i in 0..count-1 and returns when all are done. At most thread_count()
// threads take part, always including the caller. Which thread runs which i, and in what order, is
// undefined. So that results do not depend on it, bodies must be independent of each other, and
// `count` must depend only on shapes.
//
// Any number of threads may call it at once: a call that finds the pool busy works alone and waits
// for no other call's work. A parallel_for inside a body runs on that body's thread alone. A job
// with count 1 is not parallel, and its body may use the pool. Bodies see earlier writes of the
// caller, and the caller sees theirs. On all threads they run in the caller's floating-point
// environment. A body must neither fork nor end the process.
//
// With count > 1, the first call in the process throws the errors of thread_count(), before any
// body has run. Allocates nothing; with one thread or count <= 1 it is a plain loop.
void parallel_for(std::int64_t count, FunctionRef<void(std::int64_t) noexcept> body);

}  // namespace memattn::kernels
