#pragma once

namespace colophon {

/// Where a thread wakes, the system may stop another that computes, in the middle of a task of a ThreadPool, for which the pool's other
/// threads then wait: a millisecond on one core is lost on all. After this no thread of the process does so, nor those that they start
/// (SCHED_BATCH, sched(7)), but for those that call `keep_preempting`. They have a core where one is free, between two tasks that a pool's
/// worker gives it away, or when the other's turn is over. Linux; elsewhere, or where the system refuses, nothing changes. Threads that
/// somebody gave another policy keep it.
void stop_preempting();

/// The calling thread is as before `stop_preempting`.
void keep_preempting();

}  // namespace colophon
