-- A call goes on in another pool: forget it here. KEYS: callers, waiting, inflight, expected, changed, call, transcript,
-- transcript_of, open_calls. args: room, call (id of its log, or ''). Returns 1.
redis.call('ZREM', KEYS[1], args.room)
redis.call('ZREM', KEYS[2], args.room)
redis.call('ZREM', KEYS[3], args.room)
redis.call('ZREM', KEYS[4], args.room)
redis.call('ZADD', KEYS[5], now_ms(), args.room)
redis.call('DEL', KEYS[6], KEYS[7], KEYS[8])
if args.call ~= '' then
  redis.call('DEL', log_of(args.call), PREFIX .. 'call_facts:' .. args.call, PREFIX .. 'call_of:' .. args.room)
  redis.call('ZREM', KEYS[9], args.call)
end
return 1
