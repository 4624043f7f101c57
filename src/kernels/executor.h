// Runs independent pieces of work on the calling thread and the library's own threads.
#pragma once

#include <cstdint>
#include <memory>
#include <type_traits>

#include "kernels/thread_count.h"

namespace memattn::kernels {

// Refers to a callable that outlives it, as an argument does; owns and allocates nothing.
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
// threads take part, the caller always one of them; which thread runs which i, and in what order,
// is left to chance. So that results do not depend on it, bodies are independent of each other and
// `count` depends on shapes alone.
//
// Callable from any number of threads at once: one that finds the pool busy works alone and waits
// for nobody else's work. A parallel_for inside a body runs on that body's thread alone; a job with
// count 1 is no parallel job, and its body may use the pool. Bodies see what the caller wrote
// before, the caller sees what they wrote, and on all threads they run in the caller's
// floating-point environment. A body must neither fork nor end the process.
//
// Throws what thread_count() throws at its first call in the process, before any body has run, and
// only with count > 1. Allocates nothing; with one thread or count <= 1 it is a plain loop.
void parallel_for(std::int64_t count, FunctionRef<void(std::int64_t) noexcept> body);

}  // namespace memattn::kernels
