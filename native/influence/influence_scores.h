#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "influence/influence_index.h"

namespace colophon {

/// How a training example's share in an answer is told. Of all of them more is more helpful: positive where the example made the answer
/// likelier (a loss: where it is small).
enum class InfluenceMethod : uint8_t {
  repsim,    ///< cosine of states
  grad_dot,  ///< sum over checkpoints of rate * g_q . g_i (TracInCP, https://arxiv.org/abs/2002.08484)
  cosine,    ///< mean over checkpoints, by rate, of the cosine of gradients (GradSim)
  less,      ///< the same, the example's gradient as AdamW scales it (https://arxiv.org/abs/2402.04333)
  datainf,   ///< DataInf's closed form, block by block, at the last checkpoint (https://arxiv.org/abs/2310.00902), its sign turned
  logra,     ///< g_q (H + damping)^-1 g_i, block by block, at the last checkpoint (https://arxiv.org/abs/2405.13954)
  trak,      ///< mean over checkpoints of the same of gradients at length 1, over all blocks together (https://arxiv.org/abs/2303.14186)
  loss,      ///< -(loss of the example) at the last checkpoint: asks nothing of the answer
};

/// What is known of an answer, as one row or as one row for each of its tokens.
struct InfluenceQuery {
  size_t rows = 1;
  std::vector<float> states;                  ///< [rows][hidden], which add up to the answer's state; empty: not known
  std::vector<std::vector<float>> gradients;  ///< of each checkpoint: [rows][width], which add up to the answer's; empty: not known
};

/// Scores of all examples of an index. Every sum is one of doubles in a fixed order: the same bits on every machine.
class InfluenceScores {
 public:
  explicit InfluenceScores(std::shared_ptr<const InfluenceIndex> index) : index_(std::move(index)) {}

  /// [rows][examples]. A token's score is what its row adds to the answer's: all rows together give the answer's score. Methods of
  /// several checkpoints take those whose gradients are known, others the last of these. Throws Error(invalid_argument) where what the
  /// method needs is not known, or has another width.
  std::vector<double> scores(InfluenceMethod method, const InfluenceQuery& query) const;

 private:
  /// Of each block a symmetric matrix, [blocks][dims][dims].
  using Curvature = std::vector<double>;
  /// What the second moments of gradients at length 1 are told by at a checkpoint: their products with one another.
  struct Kernel {
    std::vector<uint32_t> examples;  ///< evenly out of all
    std::vector<double> lower;       ///< Cholesky's factor of products + count * damping, [examples][examples]
  };
  std::vector<double> of_states(const InfluenceQuery& query) const;
  std::vector<double> of_gradients(InfluenceMethod method, const InfluenceQuery& query) const;
  std::vector<double> of_curvature(InfluenceMethod method, const InfluenceQuery& query) const;
  std::vector<double> of_kernel(const InfluenceQuery& query) const;
  std::vector<double> of_losses(const InfluenceQuery& query) const;
  size_t last_known(const InfluenceQuery& query) const;
  std::shared_ptr<const Curvature> curvature(InfluenceMethod method, size_t checkpoint) const;
  Curvature second_moments(size_t checkpoint, const std::vector<double>& damping, bool by_datainf) const;
  std::shared_ptr<const Kernel> kernel(size_t checkpoint) const;

  std::shared_ptr<const InfluenceIndex> index_;
  /// The last that was computed.
  mutable std::mutex mutex_;
  mutable std::shared_ptr<const Curvature> curvature_;
  mutable InfluenceMethod curvature_method_{};
  mutable size_t curvature_checkpoint_ = 0;
  mutable std::map<size_t, std::shared_ptr<const Kernel>> kernels_;  ///< by checkpoint
};

/// Throws Error(invalid_argument) for another name than those of InfluenceMethod.
InfluenceMethod parse_influence_method(const std::string& name);

}  // namespace colophon
