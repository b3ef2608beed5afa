#include "adapters/packed_adapter.h"

#include <csignal>
#include <cstring>

#include <sys/resource.h>

#include "adapters/packed_folder.h"
#include "engine/error.h"
#include "model/model_file.h"
#include "testing/test.h"
#include "testing/test_adapter.h"

namespace colophon {
namespace {

using testing::TempDir;
using testing::TestAdapter;

/// Saves it and hashes it, as registering does.
std::unique_ptr<LoraAdapter> load(TestAdapter& adapter) {
  adapter.save();
  adapter.spec.tensors_hash = hash_file(adapter.spec.tensors_path);
  adapter.spec.content_hash = *adapter.spec.tensors_hash;
  return LoraAdapter::load(adapter.spec, adapter.base);
}

/// One of each: ranks by pattern, types alike and mixed, scalings of any kind, with and without DoRA.
std::unique_ptr<TestAdapter> every_form(bool int8) {
  const char* types[] = {"F32", "F16", "BF16"};
  auto adapter = std::make_unique<TestAdapter>();
  adapter->base.int8 = int8;
  adapter->base.hash[0] = 7;
  for (uint32_t i = 0; i < kLinearsPerLayer; ++i) {
    adapter->module(0, static_cast<Linear>(i), i + 1, types[i % 3], types[i % 3], i % 2 == 1);
    adapter->module(1, static_cast<Linear>(i), 9 - i, types[i % 3], types[i / 3], i == 2, types[i % 2]);
  }
  for (AdaptedModule& module : adapter->spec.modules) module.scaling = 16.f / std::sqrt(static_cast<float>(module.rank));
  return adapter;
}

std::unique_ptr<TestAdapter> small(uint32_t rank = 2, bool dora = false) {
  auto adapter = std::make_unique<TestAdapter>();
  adapter->module(0, Linear::k, rank, "F16", "F16", dora);
  return adapter;
}

/// The code and sentence that reading the file gives; "" where it reads well.
std::string refusal(const std::string& path, const TestAdapter& adapter) {
  try {
    load_packed(path, adapter.spec, adapter.base);
    return "";
  } catch (const Error& error) {
    return std::string(to_string(error.code())) + ": " + error.what();
  }
}

void spoil_header(const std::string& path, size_t modules, const std::function<void(PackedHeader&, PackedModule*)>& spoil) {
  std::string file = testing::read_file(path);
  PackedHeader header;
  std::vector<PackedModule> table(modules);
  std::memcpy(&header, file.data(), sizeof header);
  std::memcpy(table.data(), file.data() + sizeof header, modules * sizeof(PackedModule));
  spoil(header, table.data());
  std::memcpy(file.data(), &header, sizeof header);
  std::memcpy(file.data() + sizeof header, table.data(), modules * sizeof(PackedModule));
  const size_t digest_at = sizeof header + modules * sizeof(PackedModule);
  const Digest digest = sha256(file.data(), digest_at);
  std::memcpy(file.data() + digest_at, digest.data(), digest.size());
  testing::write_file(path, file);
}

}  // namespace

TEST(packed_adapter_gives_the_bits_of_the_original) {
  for (const bool int8 : {false, true}) {
    const auto adapter = every_form(int8);
    const auto original = load(*adapter);
    const std::string path = adapter->dir.path(packed_name(adapter->spec, adapter->base));
    save_packed(*original, path, adapter->spec, adapter->base);
    CHECK_EQ(check_packed(path, adapter->spec, adapter->base), original->bytes());
    const auto packed = load_packed(path, adapter->spec, adapter->base);
    CHECK_EQ(packed->bytes(), original->bytes());
    CHECK_EQ(packed->max_rank(), original->max_rank());
    CHECK(std::memcmp(packed->storage(), original->storage(), original->bytes()) == 0);
    CHECK_EQ(reinterpret_cast<uintptr_t>(packed->storage()) % 64, 0u);
    for (const AdaptedModule& module : adapter->spec.modules) {
      const LoraMatrix *a = original->find(module.layer, module.linear), *b = packed->find(module.layer, module.linear);
      CHECK(b != nullptr);
      CHECK(a->type == b->type && a->rank == b->rank && a->in == b->in && a->out == b->out && a->scaling == b->scaling);
      const auto place = [&](const LoraAdapter& of, const void* part) {
        return part == nullptr ? ptrdiff_t{-1} : static_cast<const uint8_t*>(part) - of.storage();
      };
      CHECK_EQ(place(*original, a->a), place(*packed, b->a));
      CHECK_EQ(place(*original, a->b_t), place(*packed, b->b_t));
      CHECK_EQ(place(*original, a->magnitude), place(*packed, b->magnitude));
      CHECK_EQ(place(*original, a->scale), place(*packed, b->scale));
    }
    CHECK_EQ(std::distance(std::filesystem::directory_iterator(adapter->dir.path("")), {}), 2);  // nothing left over
    // Packing is the same bytes every time.
    const std::string first = testing::read_file(path);
    save_packed(*load(*adapter), path, adapter->spec, adapter->base);
    CHECK(testing::read_file(path) == first);
  }
}

TEST(packed_adapter_names_what_decides_its_bytes) {
  const auto plain = small(), dora = small(2, true);
  AdapterBase other = plain->base;
  other.hash[5] = 1;
  CHECK_EQ(packed_name(plain->spec, plain->base), packed_name(plain->spec, other));
  CHECK(packed_name(dora->spec, dora->base) != packed_name(dora->spec, other));
  other.int8 = true;
  CHECK(packed_name(plain->spec, plain->base) != packed_name(plain->spec, other));
  CHECK(packed_name(plain->spec, plain->base).find(to_hex(plain->spec.content_hash) + ".float-1.packed") == 0);
}

TEST(packed_adapter_refuses_every_damage) {
  const auto adapter = small(1, true);
  const auto original = load(*adapter);
  const std::string path = adapter->dir.path("x.packed");
  save_packed(*original, path, adapter->spec, adapter->base);
  const std::string whole = testing::read_file(path);
  for (size_t size = 0; size < whole.size(); size += size < 300 ? 1 : 37) {
    testing::write_file(path, whole.substr(0, size));
    CHECK(refusal(path, *adapter).find("bad_adapter: the packed adapter") == 0);
    CHECK_THROWS("bytes", check_packed(path, adapter->spec, adapter->base));
  }
  testing::write_file(path, whole + '\0');
  CHECK(refusal(path, *adapter).find("bad_adapter") == 0);
  for (size_t at = 0; at < whole.size(); ++at) {
    std::string flipped = whole;
    flipped[at] = static_cast<char>(flipped[at] ^ (1 << at % 8));
    testing::write_file(path, flipped);
    CHECK(refusal(path, *adapter).find("bad_adapter") == 0);
  }
  testing::write_file(path, whole);
  CHECK_EQ(refusal(path, *adapter), "");
  std::filesystem::remove(path);
  CHECK(refusal(path, *adapter).find("not_found") == 0);
  std::filesystem::create_directory(path);
  CHECK(refusal(path, *adapter).find("bad_adapter") == 0);
}

TEST(packed_adapter_refuses_another_adapters_file_and_headers_that_lie) {
  const auto adapter = small(2, true), other = small(3, true);
  const auto original = load(*adapter), second = load(*other);
  const std::string path = adapter->dir.path("x.packed");
  save_packed(*second, path, other->spec, other->base);
  CHECK(refusal(path, *adapter).find("bad_adapter: the packed adapter") == 0);
  CHECK(refusal(path, *adapter).find("holds another adapter") != std::string::npos);

  using Spoil = std::function<void(PackedHeader&, PackedModule*)>;
  const std::vector<Spoil> lies = {
      [](PackedHeader& h, PackedModule*) { h.magic[0] = 'X'; },
      [](PackedHeader& h, PackedModule*) { h.version = 2; },
      [](PackedHeader& h, PackedModule*) { h.int8 = 1; },
      [](PackedHeader& h, PackedModule*) { h.modules = 0xffffffff; },
      [](PackedHeader& h, PackedModule*) { h.bytes += 64; },
      [](PackedHeader& h, PackedModule*) { h.bytes = UINT64_MAX; },
      [](PackedHeader& h, PackedModule*) { h.content_hash[31] ^= 1; },
      [](PackedHeader& h, PackedModule*) { h.tensors_hash[0] ^= 1; },
      [](PackedHeader& h, PackedModule*) { h.base_hash[0] ^= 1; },
      [](PackedHeader& h, PackedModule*) { h.storage_hash[0] ^= 1; },
      [](PackedHeader&, PackedModule* m) { m->rank = 0xffffffff; },
      [](PackedHeader&, PackedModule* m) { m->layer = 9; },
      [](PackedHeader&, PackedModule* m) { m->linear = 9; },
      [](PackedHeader&, PackedModule* m) { m->dora = 0; },
      [](PackedHeader&, PackedModule* m) { m->scaling = 3; },
      [](PackedHeader&, PackedModule* m) { m->type = static_cast<uint32_t>(DType::f32); },
      [](PackedHeader&, PackedModule* m) { m->type = static_cast<uint32_t>(DType::q4_0); },
      [](PackedHeader&, PackedModule* m) { m->type = 0xffffffff; },
  };
  for (const Spoil& lie : lies) {
    save_packed(*original, path, adapter->spec, adapter->base);
    spoil_header(path, 1, lie);
    CHECK(refusal(path, *adapter).find("bad_adapter: ") == 0);
  }
  save_packed(*original, path, adapter->spec, adapter->base);
  spoil_header(path, 1, [](PackedHeader&, PackedModule*) {});
  CHECK_EQ(refusal(path, *adapter), "");
  // What another base needs is no damage: its file is not there.
  AdapterBase wider = adapter->base;
  wider.shapes[1] = {10, 40};
  CHECK_THROWS("was packed for another base", check_packed(path, adapter->spec, wider));
  wider.layers = 0;
  CHECK_THROWS("was packed for another base", check_packed(path, adapter->spec, wider));
  AdapterSpec huge = adapter->spec;
  huge.modules[0].rank = 0xffffffff;
  CHECK_THROWS("other modules", check_packed(path, huge, adapter->base));
  spoil_header(path, 1, [](PackedHeader&, PackedModule* m) { m->rank = 0xffffffff; });
  CHECK_THROWS("too small for the ranks", check_packed(path, huge, adapter->base));
}

TEST(packed_folder_deletes_what_is_damaged_and_says_so) {
  const auto adapter = small();
  const auto original = load(*adapter);
  std::vector<std::string> warnings;
  const std::string path = adapter->dir.path("packed");
  PackedFolder folder(path, 1 << 20, [&](const std::string& sentence) { warnings.push_back(sentence); });
  CHECK(!folder.check(adapter->spec, adapter->base));
  CHECK(folder.load(adapter->spec, adapter->base) == nullptr);
  folder.save(*original, adapter->spec, adapter->base);
  CHECK_EQ(*folder.check(adapter->spec, adapter->base), original->bytes());
  CHECK(folder.load(adapter->spec, adapter->base) != nullptr);
  const std::string file = path + "/" + packed_name(adapter->spec, adapter->base);
  std::filesystem::resize_file(file, 100);
  CHECK(!folder.check(adapter->spec, adapter->base));
  CHECK(folder.load(adapter->spec, adapter->base) == nullptr);
  CHECK(!std::filesystem::exists(file));
  CHECK_EQ(warnings.size(), 1u);
  CHECK(warnings[0].find("has 100 bytes, fewer than its header; it was deleted") != std::string::npos);
  const PackedTotals totals = folder.totals();
  CHECK(totals.loads == 1 && totals.saves == 1 && totals.damaged == 1 && totals.unsaved == 0);
  // Whose tensors have no hash is never packed: nothing says that the file is still the one that was registered.
  adapter->spec.tensors_hash = std::nullopt;
  CHECK(!folder.wants(adapter->spec));
  folder.save(*original, adapter->spec, adapter->base);
  CHECK_EQ(folder.totals().saves, 1u);
  CHECK(!PackedFolder("", 1 << 20, {}).wants(adapter->spec));
  CHECK(!PackedFolder(path, 0, {}).wants(adapter->spec));
}

TEST(packed_folder_survives_a_full_disk) {
  const auto adapter = small();
  const auto original = load(*adapter);
  std::vector<std::string> warnings;
  const std::string path = adapter->dir.path("packed");
  PackedFolder folder(path, 1 << 20, [&](const std::string& sentence) { warnings.push_back(sentence); });
  // No file may grow beyond its first bytes, as on a disk that fills up.
  rlimit before;
  CHECK(::getrlimit(RLIMIT_FSIZE, &before) == 0);
  const auto signal = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small_files{300, before.rlim_max};
  CHECK(::setrlimit(RLIMIT_FSIZE, &small_files) == 0);
  folder.save(*original, adapter->spec, adapter->base);
  folder.save(*original, adapter->spec, adapter->base);
  CHECK(::setrlimit(RLIMIT_FSIZE, &before) == 0);
  std::signal(SIGXFSZ, signal);
  CHECK_EQ(warnings.size(), 1u);  // one for all
  CHECK(warnings[0].find("cannot write the packed adapter") == 0);
  CHECK(warnings[0].find("adapters are served from their originals meanwhile") != std::string::npos);
  CHECK_EQ(folder.totals().unsaved, 2u);
  CHECK(std::filesystem::is_empty(path));  // nothing half-written stays
  folder.save(*original, adapter->spec, adapter->base);
  CHECK_EQ(folder.totals().saves, 1u);
  CHECK(folder.load(adapter->spec, adapter->base) != nullptr);
  // A folder that cannot be made.
  PackedFolder nowhere(adapter->spec.tensors_path + "/packed", 1 << 20,
                       [&](const std::string& sentence) { warnings.push_back(sentence); });
  nowhere.save(*original, adapter->spec, adapter->base);
  CHECK_EQ(warnings.size(), 2u);
  CHECK(nowhere.load(adapter->spec, adapter->base) == nullptr);
}

TEST(packed_folder_stays_within_its_bound) {
  const auto adapter = small();
  const auto original = load(*adapter);
  const std::string path = adapter->dir.path("packed");
  std::vector<std::string> warnings;
  const auto warn = [&](const std::string& sentence) { warnings.push_back(sentence); };
  const auto numbered = [&](uint8_t number) {
    AdapterSpec spec = adapter->spec;
    spec.content_hash[0] = number;
    return spec;
  };
  const auto file_of = [&](uint8_t number) { return path + "/" + packed_name(numbered(number), adapter->base); };
  PackedFolder(path, 1 << 20, warn).save(*original, numbered(0), adapter->base);
  const uint64_t each = std::filesystem::file_size(file_of(0));
  const auto now = std::filesystem::file_time_type::clock::now();
  const auto age = [&](const std::string& file, int hours) {
    std::filesystem::last_write_time(file, now - std::chrono::hours(hours));
  };
  // Files of earlier runs count; foreign ones are left alone, forgotten unfinished ones go.
  age(file_of(0), 50);
  for (const char* name : {"notes.txt", "old.tmp", "new.tmp"}) testing::write_file(path + "/" + name, std::string(5000, 'x'));
  age(path + "/old.tmp", 3);
  PackedFolder folder(path, 4 * each, warn);
  for (uint8_t i = 1; i < 4; ++i) {
    folder.save(*original, numbered(i), adapter->base);
    age(file_of(i), 40 - i);
  }
  for (uint8_t i = 0; i < 4; ++i) CHECK(std::filesystem::exists(file_of(i)));
  CHECK(folder.load(numbered(0), adapter->base) != nullptr);  // used: 1 and 2 are now the oldest
  folder.save(*original, numbered(4), adapter->base);
  CHECK(std::filesystem::exists(file_of(0)));
  CHECK(!std::filesystem::exists(file_of(1)));
  CHECK(!std::filesystem::exists(file_of(2)));
  CHECK(std::filesystem::exists(file_of(3)));
  CHECK(std::filesystem::exists(file_of(4)));
  CHECK(std::filesystem::exists(path + "/notes.txt"));
  CHECK(std::filesystem::exists(path + "/new.tmp"));
  CHECK(!std::filesystem::exists(path + "/old.tmp"));
  // An adapter larger than all of it is not written.
  PackedFolder narrow(path, original->bytes() - 1, warn);
  narrow.save(*original, numbered(5), adapter->base);
  CHECK(!std::filesystem::exists(file_of(5)));
  CHECK(warnings.empty());
}

}  // namespace colophon
