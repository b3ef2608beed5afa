#include "adapters/adapter_store.h"

#include <atomic>
#include <future>
#include <map>

#include "model/model_file.h"
#include "testing/files.h"
#include "testing/test.h"

namespace colophon {
namespace {

using testing::bytes_of;
using testing::SafetensorsWriter;
using testing::TempDir;

constexpr uint32_t kRank = 4, kSize = 16;
// Of one adapter in memory, on a base of one layer.
constexpr size_t kBytes = 2 * kRank * kSize * sizeof(float) + kLinearsPerLayer * sizeof(LoraMatrix);

/// A store with room for `adapters` small ones, on a base of one layer whose linears are 16 x 16. Loads of adapters made
/// with `gated` stand still while the gate is closed.
class Harness {
 public:
  explicit Harness(size_t adapters, AdapterStoreOptions options = {}, bool packed = false) {
    if (packed) options.packed_dir = packed_dir();
    options.budget_bytes = adapters * kBytes;
    const LinearShape shape{kSize, kSize};
    AdapterBase base{1, {shape, shape, shape, shape, shape, shape, shape}, [this](size_t, Linear, size_t row, float* out) {
                       if (row == 0) pass_gate();
                       std::fill(out, out + kSize, 1.f);
                     }};
    store_ = std::make_unique<AdapterStore>(std::move(base), options, [this] {
      std::lock_guard lock(mutex_);
      changed_.notify_all();
    });
  }
  ~Harness() { open_gate(); }
  AdapterStore* operator->() { return store_.get(); }

  std::string file_of(uint32_t number) const { return folder_.path(std::to_string(number) + ".safetensors"); }
  /// Writes the file of that number, of values that begin at `first`.
  void write(uint32_t number, uint32_t first, bool gated = false) {
    SafetensorsWriter file;
    const auto values = [&](size_t count) {
      std::string out;
      for (size_t i = 0; i < count; ++i) out += bytes_of(static_cast<float>(first + i % 7));
      return out;
    };
    const std::string stem = "base_model.model.model.layers.0.self_attn.q_proj.";
    file.tensor(stem + "lora_A.weight", "F32", {kRank, kSize}, values(kRank * kSize));
    file.tensor(stem + "lora_B.weight", "F32", {kSize, kRank}, values(kRank * kSize));
    if (gated) file.tensor(stem + "lora_magnitude_vector", "F32", {kSize}, values(kSize));
    testing::write_file(file_of(number), file.build());
    hashes_[number] = hash_file(file_of(number));
  }
  /// Registers the adapter of that number and, unless its file was written (and may be gone) already, writes it. A gated
  /// one is a DoRA, whose load asks for the base's rows; its magnitudes take an eighth of an adapter more.
  uint32_t add(uint32_t number, bool gated = false) {
    if (!hashes_.contains(number)) write(number, number, gated);
    AdapterSpec spec;
    spec.name = "number " + std::to_string(number);
    spec.modules = {{0, Linear::q, kRank, 1.f, gated}};
    spec.tensors_path = file_of(number);
    spec.tensors_hash = hashes_.at(number);
    spec.content_hash = hashes_.at(number);
    return store_->add(spec);
  }
  std::string packed_dir() const { return folder_.path("packed"); }
  std::string packed_file(uint32_t number) const {
    return packed_dir() + "/" + to_hex(hashes_.at(number)) + ".float-1.packed";
  }
  /// Once `count` adapters in all have been packed.
  void packed(uint64_t count) {
    while (store_->totals().packed.saves < count) std::this_thread::yield();
  }

  Residency residency(uint32_t handle) { return store_->state(handle).residency; }
  /// Once no load of it is queued or under way.
  Residency settled(uint32_t handle) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return residency(handle) != Residency::loading; });
    return residency(handle);
  }
  /// Makes it resident for a sequence that then waits.
  void want_loaded(uint32_t handle) {
    CHECK(store_->retain(handle) != nullptr);
    store_->want(handle, true, false);
    CHECK(settled(handle) == Residency::ram);
  }
  /// Once the load of a waiting sequence's adapter was tried and had no room.
  void want_blocked(uint32_t handle, bool urgent) {
    while (store_->want(handle, true, urgent) != AdapterStore::Want::no_room) std::this_thread::yield();
  }
  /// A load() whose outcome is "" or a sentence.
  std::future<std::string> load(uint32_t handle) {
    auto outcome = std::make_shared<std::promise<std::string>>();
    store_->load(handle, [outcome](const Error* error) { outcome->set_value(error ? error->what() : ""); });
    return outcome->get_future();
  }

  void close_gate() {
    std::lock_guard lock(gate_);
    closed_ = true;
  }
  void open_gate() {
    std::lock_guard lock(gate_);
    closed_ = false;
    gate_moved_.notify_all();
  }
  /// Once `count` loads in all have come to the gate.
  void at_gate(size_t count) {
    std::unique_lock lock(gate_);
    gate_moved_.wait(lock, [&] { return arrived_ >= count; });
  }

 private:
  void pass_gate() {
    std::unique_lock lock(gate_);
    ++arrived_;
    gate_moved_.notify_all();
    gate_moved_.wait(lock, [&] { return !closed_; });
  }

  const TempDir folder_;
  std::map<uint32_t, Digest> hashes_;
  std::mutex mutex_, gate_;
  std::condition_variable changed_, gate_moved_;
  bool closed_ = false;
  size_t arrived_ = 0;
  std::unique_ptr<AdapterStore> store_;
};

using Want = AdapterStore::Want;

}  // namespace

TEST(adapter_store_evicts_the_least_recently_used_that_nobody_wants) {
  Harness store(2);
  uint32_t a[4];
  for (uint32_t i = 0; i < 4; ++i) a[i] = store.add(i);
  store.want_loaded(a[0]);
  store.want_loaded(a[1]);
  store->forget(a[1]);
  store->forget(a[0]);  // a[0] is the last used
  store.want_loaded(a[2]);
  CHECK(store.residency(a[0]) == Residency::ram);
  CHECK(store.residency(a[1]) == Residency::disk);
  // a[0] is taken up again; then only a[2] can go, once its sequence is gone.
  store->retain(a[0]);
  CHECK(store->want(a[0], true, false) == Want::ready);
  store->retain(a[3]);
  store.want_blocked(a[3], false);
  CHECK_EQ(store->totals().evictions, 1u);
  store->forget(a[2]);
  CHECK(store.settled(a[3]) == Residency::ram);
  CHECK(store.residency(a[2]) == Residency::disk);
  const AdapterTotals totals = store->totals();
  CHECK_EQ(totals.registered, 4u);
  CHECK_EQ(totals.resident, 2u);
  CHECK_EQ(totals.bytes_used, 2 * kBytes);
  CHECK_EQ(totals.loads, 4u);
  CHECK_EQ(totals.evictions, 2u);
}

TEST(adapter_store_takes_a_wanted_adapter_away_only_for_an_urgent_want) {
  Harness store(3);
  uint32_t a[6];
  for (uint32_t i = 0; i < 6; ++i) a[i] = store.add(i);
  for (uint32_t i = 0; i < 3; ++i) store.want_loaded(a[i]);
  CHECK(store->acquire(a[2]) != nullptr);
  for (uint32_t i = 3; i < 6; ++i) store->retain(a[i]);
  store.want_blocked(a[3], false);
  CHECK_EQ(store->totals().evictions, 0u);
  // The urgent one goes before the first of the queue; what came last to be wanted and does not run makes room.
  store->want(a[5], true, true);
  CHECK(store.settled(a[5]) == Residency::ram);
  CHECK(store.residency(a[1]) == Residency::disk);
  CHECK(store.residency(a[3]) == Residency::loading);
  CHECK_EQ(store->totals().evictions, 1u);
  // Where all that is resident runs, even an urgent one waits for room.
  CHECK(store->acquire(a[0]) != nullptr);
  CHECK(store->acquire(a[5]) != nullptr);
  store.want_blocked(a[4], true);
  CHECK_EQ(store->totals().evictions, 1u);
  store->release(a[0]);
  CHECK(store.settled(a[4]) == Residency::ram);
  CHECK(store.residency(a[0]) == Residency::disk);
  CHECK(store.residency(a[3]) == Residency::loading);
  // An urgent want ends with its last sequence: nothing more is taken away for it.
  CHECK(store->acquire(a[4]) != nullptr);
  store.want_blocked(a[1], true);
  store->forget(a[1]);
  store->release(a[4]);
  store.want_blocked(a[3], false);
  CHECK(store.residency(a[4]) == Residency::ram);
  CHECK_EQ(store->totals().evictions, 2u);
}

TEST(adapter_store_does_not_let_urgent_wants_starve_a_load_call) {
  Harness store(1);
  const uint32_t called = store.add(100);
  std::vector<uint32_t> a;
  for (uint32_t i = 0; i < 20; ++i) a.push_back(store.add(i));
  store.want_loaded(a[0]);
  CHECK(store->acquire(a[0]) != nullptr);
  std::future<std::string> outcome = store.load(called);
  size_t urgent = 0;
  for (size_t i = 1; i < a.size(); ++i) {
    store->retain(a[i]);
    store.want_blocked(a[i], true);
    store->release(a[i - 1]);
    store->forget(a[i - 1]);
    // The next one may find the called one in its place and takes it away.
    while (store->want(a[i], true, true) != Want::ready) std::this_thread::yield();
    CHECK(store->acquire(a[i]) != nullptr);
    if (outcome.wait_for(std::chrono::seconds(0)) != std::future_status::ready) ++urgent;
  }
  CHECK_EQ(outcome.get(), "");
  CHECK_EQ(urgent, 8u);
}

TEST(adapter_store_keeps_pinned_adapters) {
  Harness store(3);
  uint32_t a[5];
  for (uint32_t i = 0; i < 5; ++i) a[i] = store.add(i);
  store->pin(a[0]);
  store->pin(a[0]);
  CHECK_EQ(store.load(a[0]).get(), "");
  for (uint32_t i = 1; i < 5; ++i) CHECK_EQ(store.load(a[i]).get(), "");
  CHECK(store.residency(a[0]) == Residency::ram);
  CHECK(store->state(a[0]).pinned);
  CHECK_EQ(store->totals().bytes_pinned, kBytes);
  store->pin(a[1]);
  store->pin(a[2]);
  CHECK_THROWS("bytes cannot be pinned: pinned adapters take ", store->pin(a[3]));
  CHECK_EQ(store.load(a[1]).get(), "");
  CHECK_EQ(store.load(a[2]).get(), "");
  // Pins take it all: others fail instead of waiting for ever.
  CHECK(store.load(a[3]).get().find("more than the pinned adapters leave of the budget of " + std::to_string(3 * kBytes)) != std::string::npos);
  CHECK_EQ(store->totals().bytes_used, 3 * kBytes);
  store->unpin(a[1]);
  CHECK_EQ(store.load(a[3]).get(), "");
  CHECK(store.residency(a[1]) == Residency::disk);
  // A pin goes with its adapter; one that waits for a pin's room then gets it, one that can no longer have any fails.
  store->pin(a[3]);
  store->remove(a[3]);
  CHECK_EQ(store->totals().bytes_pinned, 2 * kBytes);
  store.want_loaded(a[1]);
  CHECK(store->acquire(a[1]) != nullptr);
  std::future<std::string> waits = store.load(a[4]);
  store->pin(a[1]);
  CHECK(waits.get().find("unpin one") != std::string::npos);
  CHECK_THROWS("unloaded", store->pin(12345));
  store->unpin(12345);
}

TEST(adapter_store_loads_once_what_many_ask_for_at_once) {
  Harness store(4);
  const uint32_t adapter = store.add(1, true);
  store.close_gate();
  std::vector<std::future<std::string>> outcomes(100);
  std::vector<std::thread> threads;
  for (auto& outcome : outcomes) threads.emplace_back([&] { outcome = store.load(adapter); });
  for (std::thread& thread : threads) thread.join();
  CHECK(store.residency(adapter) == Residency::loading);
  store.open_gate();
  for (auto& outcome : outcomes) CHECK_EQ(outcome.get(), "");
  CHECK_EQ(store->totals().loads, 1u);
  CHECK_EQ(store.load(adapter).get(), "");
  CHECK_EQ(store->totals().loads, 1u);
}

TEST(adapter_store_reads_several_at_once_and_reserves_their_room_in_order) {
  AdapterStoreOptions options;
  options.loaders = 3;
  Harness store(4, options);  // room for three gated ones
  uint32_t a[5];
  for (uint32_t i = 0; i < 5; ++i) a[i] = store.add(i, true);
  store.close_gate();
  std::vector<std::future<std::string>> outcomes;
  for (const uint32_t handle : a) outcomes.push_back(store.load(handle));
  store.at_gate(3);
  CHECK_EQ(store->totals().bytes_used, 3 * store->state(a[0]).bytes);
  CHECK_EQ(store->totals().resident, 0u);
  store.open_gate();
  for (auto& outcome : outcomes) CHECK_EQ(outcome.get(), "");
  CHECK_EQ(store->totals().loads, 5u);
  CHECK_EQ(store->totals().evictions, 2u);
  CHECK(store.residency(a[4]) == Residency::ram);
}

TEST(adapter_store_serves_many_threads) {
  AdapterStoreOptions options;
  options.loaders = 4;
  Harness store(3, options);
  std::vector<uint32_t> handles;
  for (uint32_t i = 0; i < 12; ++i) handles.push_back(store.add(i, i % 4 == 3));
  std::vector<std::thread> threads;
  for (uint32_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (uint32_t i = 0; i < 200; ++i) {
        const uint32_t handle = handles[(t * 7 + i * 5) % handles.size()];
        if (i % 10 == 9) {
          CHECK_EQ(store.load(handle).get(), "");
          continue;
        }
        if (store->retain(handle) == nullptr) continue;
        // One thread has the first sequence of the queue; the others only come to run where theirs is there already.
        Want want = store->want(handle, true, t == 0);
        while (t == 0 && want != Want::ready) {
          std::this_thread::yield();
          want = store->want(handle, true, true);
        }
        if (want == Want::ready && store->acquire(handle) != nullptr) {
          CHECK(store->totals().bytes_used <= 3 * kBytes);
          store->release(handle);
        }
        store->forget(handle);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const uint32_t handle : handles) store->remove(handle);
  while (store->totals().registered > 0) std::this_thread::yield();
  CHECK_EQ(store->totals().bytes_used, 0u);
  CHECK_EQ(store->totals().resident, 0u);
}

TEST(adapter_store_removes_an_adapter_while_it_loads_or_waits_for_its_load) {
  Harness store(2);
  const uint32_t reading = store.add(1, true), queued = store.add(2), other = store.add(3);
  store.close_gate();
  std::future<std::string> first = store.load(reading);
  store.at_gate(1);
  std::future<std::string> second = store.load(queued);
  CHECK(store->remove(reading));
  CHECK(!store->remove(reading));
  CHECK(store->retain(reading) == nullptr);
  CHECK(store->remove(queued));
  store.open_gate();
  CHECK_EQ(first.get(), "");  // it was loaded for those who asked before
  const std::string sentence = second.get();
  CHECK(sentence == "" || sentence.find("unloaded") != std::string::npos);
  CHECK_EQ(store.load(other).get(), "");
  while (store->totals().registered > 1) std::this_thread::yield();
  CHECK_EQ(store->totals().bytes_used, kBytes);
  CHECK(store.load(reading).get().find("unloaded") != std::string::npos);
}

TEST(adapter_store_removes_an_adapter_that_waits_for_room) {
  Harness store(1);
  const uint32_t used = store.add(1), waits = store.add(2), next = store.add(3);
  store.want_loaded(used);
  CHECK(store->acquire(used) != nullptr);
  std::future<std::string> outcome = store.load(waits);
  store->retain(next);
  store->want(next, true, true);
  CHECK(store->remove(waits));
  CHECK(outcome.get().find("unloaded") != std::string::npos);
  CHECK(store->remove(next));
  store->forget(next);
  CHECK_EQ(store->totals().registered, 1u);
  store->release(used);
  CHECK(store.residency(used) == Residency::ram);
}

TEST(adapter_store_reads_the_packed_form_once_there_is_one) {
  Harness store(1, {}, true);
  const uint32_t one = store.add(1), two = store.add(2);
  CHECK_EQ(store.load(one).get(), "");
  store.packed(1);
  // From now on its original may go: what is served is the content that was registered.
  std::filesystem::remove(store.file_of(1));
  CHECK_EQ(store.load(two).get(), "");
  CHECK_EQ(store.load(one).get(), "");
  CHECK_EQ(store->totals().packed.loads, 1u);
  const uint32_t again = store.add(1);
  CHECK_EQ(store->state(again).bytes, kBytes);
  CHECK_EQ(store.load(again).get(), "");
  CHECK_EQ(store->totals().packed.loads, 2u);
  CHECK(store->take_warnings().empty());
}

TEST(adapter_store_reads_the_original_where_the_packed_form_is_damaged_or_gone) {
  Harness store(1, {}, true);
  const uint32_t one = store.add(1), two = store.add(2);
  const auto reload = [&] {
    CHECK_EQ(store.load(two).get(), "");
    return store.load(one).get();
  };
  CHECK_EQ(store.load(one).get(), "");
  store.packed(1);
  CHECK_EQ(reload(), "");  // packs two
  store.packed(2);
  CHECK_EQ(store->totals().packed.loads, 1u);
  // One's file is replaced by two's, then deleted, then cut: each time the original is read and packed anew.
  std::filesystem::copy_file(store.packed_file(2), store.packed_file(1), std::filesystem::copy_options::overwrite_existing);
  CHECK_EQ(reload(), "");
  store.packed(3);
  CHECK_EQ(store->totals().packed.damaged, 1u);
  std::filesystem::remove(store.packed_file(1));
  CHECK_EQ(reload(), "");
  store.packed(4);
  CHECK_EQ(store->totals().packed.damaged, 1u);
  std::filesystem::resize_file(store.packed_file(1), 500);
  CHECK_EQ(reload(), "");
  store.packed(5);
  CHECK_EQ(store->totals().packed.damaged, 2u);
  const std::vector<std::string> warnings = store->take_warnings();
  CHECK_EQ(warnings.size(), 2u);
  CHECK(warnings.back().find("it was deleted, the adapter is read from its original") != std::string::npos);
  CHECK(store->take_warnings().empty());
  // With neither, the load fails and says that the original is missing; beside it all goes on.
  std::filesystem::resize_file(store.packed_file(1), 500);
  std::filesystem::remove(store.file_of(1));
  CHECK(reload().find("cannot open the file") != std::string::npos);
  CHECK_EQ(store.load(two).get(), "");
  // A changed original without a packed form is refused, as without packing.
  store.write(1, 77);
  CHECK(store.load(one).get().find("changed on disk after it was registered") != std::string::npos);
  store.write(1, 1);
  CHECK_EQ(store.load(one).get(), "");
}

TEST(adapter_store_serves_from_originals_where_nothing_can_be_packed) {
  Harness store(1, {}, true);
  testing::write_file(store.packed_dir(), "a file where the folder should be");
  const uint32_t one = store.add(1), two = store.add(2);
  for (int i = 0; i < 3; ++i) {
    CHECK_EQ(store.load(one).get(), "");
    CHECK_EQ(store.load(two).get(), "");
  }
  while (store->totals().packed.unsaved < 6) std::this_thread::yield();
  CHECK_EQ(store->take_warnings().size(), 1u);
  CHECK_EQ(store->totals().packed.saves, 0u);
}

TEST(adapter_store_serves_good_adapters_beside_bad_ones) {
  Harness store(8);
  std::vector<uint32_t> good, bad;
  for (uint32_t i = 0; i < 50; ++i) {
    good.push_back(store.add(i));
    bad.push_back(store.add(100 + i));
    if (i % 2) std::filesystem::remove(store.file_of(100 + i));
    else std::filesystem::resize_file(store.file_of(100 + i), 100);
  }
  std::vector<std::future<std::string>> outcomes;
  for (uint32_t i = 0; i < 50; ++i) {
    outcomes.push_back(store.load(bad[i]));
    outcomes.push_back(store.load(good[i]));
  }
  for (uint32_t i = 0; i < 50; ++i) {
    CHECK(!outcomes[2 * i].get().empty());
    CHECK_EQ(outcomes[2 * i + 1].get(), "");
    CHECK(store.residency(bad[i]) == Residency::failed);
  }
  CHECK_EQ(store->totals().loads, 50u);
  // A bad one that fails last may have made room for itself.
  const AdapterTotals totals = store->totals();
  CHECK(totals.resident == 8 || totals.resident == 7);
  CHECK_EQ(totals.bytes_used, totals.resident * kBytes);
}

}  // namespace colophon
