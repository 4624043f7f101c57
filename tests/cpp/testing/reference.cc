// The definitions of src/kernels/reference.h, compiled once for all tests.
#include "kernels/reference.h"

namespace memattn::kernels::reference {

template void forward(const Dims&, const WeightPointers<const double>&, const Call&, const double*,
                      double*, double*);
template void forward(const Dims&, const WeightPointers<const std::complex<double>>&, const Call&,
                      const std::complex<double>*, std::complex<double>*, std::complex<double>*);
template void sequence_forward(const SequenceDims&, const SequenceWeights<const double>&,
                               const Call&, std::int64_t, const double*, const double*, double*,
                               double*);
template void sequence_forward(const SequenceDims&,
                               const SequenceWeights<const std::complex<double>>&, const Call&,
                               std::int64_t, const std::complex<double>*,
                               const std::complex<double>*, std::complex<double>*,
                               std::complex<double>*);

}  // namespace memattn::kernels::reference
