#include "trainer/load_adapter.h"

#include "testing/files.h"
#include "testing/test.h"
#include "trainer/save_adapter.h"

using namespace colophon;
using namespace colophon::testing;

namespace {

TrainableAdapter make(uint32_t rank = 3) {
  AdapterBase base;
  base.layers = 12;
  for (LinearShape& shape : base.shapes) shape = {6, 4};
  return TrainableAdapter(std::vector<AdaptedModule>{{11, Linear::down, 2, 1, false}, {2, Linear::q, rank, 1, false}}, base);
}

}  // namespace

TEST(load_adapter_reads_what_was_saved) {
  const TempDir folder;
  TrainableAdapter saved = make(), loaded = make();
  for (size_t i = 0; i < saved.values().size(); ++i) saved.values()[i] = 0.1f * static_cast<float>(i) - 1;
  save_adapter(saved, folder.path("saved"));
  load_adapter(loaded, folder.path("saved"));
  CHECK(std::equal(saved.values().begin(), saved.values().end(), loaded.values().begin()));
}

TEST(load_adapter_refuses_what_is_of_other_modules) {
  const TempDir folder;
  save_adapter(make(), folder.path("saved"));
  const std::string good = read_file(folder.path("saved"));
  const auto load = [](const std::string& path, uint32_t rank = 3) {
    TrainableAdapter adapter = make(rank);
    load_adapter(adapter, path);
    return 0;
  };
  CHECK_THROWS("No such file", load(folder.path("none")));
  CHECK_THROWS("of the shape", load(folder.path("saved"), 2));
  CHECK_THROWS("", load(folder.write("cut", good.substr(0, good.size() - 1))));
  std::string other = good;
  other.replace(other.find("layers.11"), 9, "layers.10");
  CHECK_THROWS("is of no module", load(folder.write("other", other)));
  const float nan = std::numeric_limits<float>::quiet_NaN();
  std::string bad = good;
  std::memcpy(&bad[bad.size() - 4], &nan, 4);
  CHECK_THROWS("not finite", load(folder.write("nan", bad)));
  SafetensorsWriter few;
  few.tensor("base_model.model.model.layers.2.self_attn.q_proj.lora_A.weight", "F32", {3, 4}, std::string(48, '\0'));
  CHECK_THROWS("has 1 tensors where the modules have 4", load(folder.write("few", few.build())));
}
