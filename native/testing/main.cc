#include "testing/test.h"

int main(int argc, char** argv) { return colophon::testing::run(argc, argv); }
