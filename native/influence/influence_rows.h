#pragma once

#include <vector>

#include "influence/block_projection.h"
#include "influence/influence_scores.h"
#include "trainer/training.h"

namespace colophon {

/// Sizes of what is computed, of a layout whose examples and rates are not needed.
InfluenceLayout influence_layout(const TrainingInfo& info, uint32_t dims, uint64_t seed, bool preconditioned);

/// State rows of an index, with the adapter's values as they are, one for each example. A state is the mean of the last normalised
/// hidden rows that the example's targets are told from.
std::vector<uint8_t> state_rows(Training& training, const InfluenceLayout& layout, std::span<const TrainingExample> examples);

/// Gradient rows, of each example's mean loss over its own targets, by weight. Where the layout is preconditioned, also each value of
/// the gradient divided by sqrt(second moment) + epsilon of the optimiser, corrected for its beginning at zero as AdamW does it.
/// An example without targets has the row of zeros.
std::vector<uint8_t> gradient_rows(Training& training, const InfluenceLayout& layout, std::span<const TrainingExample> examples);

/// The same of an answer that is asked about, unrounded: its state, and where `gradient`, its projected gradient; in rows by token, or
/// in one. gradients[0] is that of the values as they are.
InfluenceQuery influence_query(Training& training, const InfluenceLayout& layout, const TrainingExample& example, bool by_token,
                               bool gradient);

}  // namespace colophon
