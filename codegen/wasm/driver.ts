/**
 * The function that every thread runs for an entry: walks `count` records of 32 bytes (kernel, groups of all copies, address of the arguments,
 * groups of one copy, bytes of its arguments), works on the groups of each, and waits for the others after it. Every thread has a share of the groups, always the same
 * one, so that what it wrote lies in its own cache; it claims them one by one from its counter, and when its share is done it helps the
 * others with theirs. So threads end together although the machine is shared, and since groups are independent no bit depends on
 * who ran which. The barrier counts arrivals at `barrier` and generations at `barrier + 4`; the last to arrive clears the counters (a
 * cache line each, from `barrier + 64`) and opens the next generation. Waiting spins first, since a dispatch is short, and sleeps when
 * it is not.
 */
const SPINS = 20_000;

export const driver = `(func (export "run") (param $table i32) (param $count i32) (param $threads i32) (param $thread i32) (param $scratch i32) (param $barrier i32)
(local $last i32) (local $groups i32) (local $group i32) (local $to i32) (local $victim i32) (local $left i32) (local $counter i32) (local $from i32) (local $generation i32) (local $spins i32) (local $own i32) (local $copy i32)
(local.set $last (i32.add (local.get $table) (i32.shl (local.get $count) (i32.const 5))))
(block $done (loop $next
(br_if $done (i32.ge_u (local.get $table) (local.get $last)))
(local.set $groups (i32.load offset=4 (local.get $table)))
(local.set $own (i32.load offset=12 (local.get $table)))
(if (i32.eq (local.get $threads) (i32.const 1)) (then
(local.set $copy (i32.const 0))
(loop $copies
(call_indirect (type $kernel) (i32.add (i32.load offset=8 (local.get $table)) (i32.mul (local.get $copy) (i32.load offset=16 (local.get $table)))) (local.get $scratch) (i32.const 0) (local.get $own) (i32.load (local.get $table)))
(local.set $copy (i32.add (local.get $copy) (i32.const 1)))
(br_if $copies (i32.lt_u (i32.mul (local.get $copy) (local.get $own)) (local.get $groups)))))
(else
(local.set $victim (local.get $thread))
(local.set $left (local.get $threads))
(loop $shares
(local.set $counter (i32.add (i32.add (local.get $barrier) (i32.const 64)) (i32.shl (local.get $victim) (i32.const 6))))
(local.set $from (i32.div_u (i32.mul (local.get $groups) (local.get $victim)) (local.get $threads)))
(local.set $victim (i32.add (local.get $victim) (i32.const 1)))
(local.set $to (i32.div_u (i32.mul (local.get $groups) (local.get $victim)) (local.get $threads)))
(block $empty (loop $claim
(local.set $group (i32.add (local.get $from) (i32.atomic.rmw.add (local.get $counter) (i32.const 1))))
(br_if $empty (i32.ge_u (local.get $group) (local.get $to)))
(local.set $copy (i32.div_u (local.get $group) (local.get $own)))
(local.set $group (i32.sub (local.get $group) (i32.mul (local.get $copy) (local.get $own))))
(call_indirect (type $kernel) (i32.add (i32.load offset=8 (local.get $table)) (i32.mul (local.get $copy) (i32.load offset=16 (local.get $table)))) (local.get $scratch) (local.get $group) (i32.add (local.get $group) (i32.const 1)) (i32.load (local.get $table)))
(br $claim)))
(if (i32.eq (local.get $victim) (local.get $threads)) (then (local.set $victim (i32.const 0))))
(br_if $shares (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
(local.set $generation (i32.atomic.load offset=4 (local.get $barrier)))
(if (i32.eq (i32.atomic.rmw.add (local.get $barrier) (i32.const 1)) (i32.sub (local.get $threads) (i32.const 1)))
(then
(local.set $left (local.get $threads))
(loop $clear
(local.set $left (i32.sub (local.get $left) (i32.const 1)))
(i32.atomic.store (i32.add (i32.add (local.get $barrier) (i32.const 64)) (i32.shl (local.get $left) (i32.const 6))) (i32.const 0))
(br_if $clear (local.get $left)))
(i32.atomic.store (local.get $barrier) (i32.const 0))
(drop (i32.atomic.rmw.add offset=4 (local.get $barrier) (i32.const 1)))
(drop (memory.atomic.notify offset=4 (local.get $barrier) (i32.const -1))))
(else
(local.set $spins (i32.const 0))
(block $open (loop $wait
(br_if $open (i32.ne (i32.atomic.load offset=4 (local.get $barrier)) (local.get $generation)))
(local.set $spins (i32.add (local.get $spins) (i32.const 1)))
(if (i32.gt_u (local.get $spins) (i32.const ${SPINS})) (then
(drop (memory.atomic.wait32 offset=4 (local.get $barrier) (local.get $generation) (i64.const -1)))))
(br $wait)))))))
(local.set $table (i32.add (local.get $table) (i32.const 32)))
(br $next))))`;
