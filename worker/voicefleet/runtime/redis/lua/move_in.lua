-- A call of another pool goes on here. KEYS: callers, changed, transcript, transcript_of, epoch, fenced, call, open_calls.
-- args: room, joined_ms, call (id of its log, or ''), log ({field, value, ...}), facts ({fact, ...}), transcript,
-- transcript_ttl_ms, transcript_of, epoch, fenced ({job, ...}), record, record_ttl_ms, epoch_ttl_ms, note (said of the
-- move in its log). Saying it again changes nothing. Returns 1.
local now = now_ms()
local log, facts = args.call ~= '' and log_of(args.call), PREFIX .. 'call_facts:' .. args.call
if redis.call('ZSCORE', KEYS[1], args.room) then
  return 1
end
redis.call('SET', KEYS[7], args.record, 'PX', args.record_ttl_ms)
if args.transcript ~= '' then
  local ttl_ms = math.max(1000, args.transcript_ttl_ms)
  redis.call('SET', KEYS[3], args.transcript, 'PX', ttl_ms)
  redis.call('SET', KEYS[4], args.transcript_of, 'PX', ttl_ms)
end
if args.epoch ~= '' then
  redis.call('SET', KEYS[5], args.epoch, 'PX', args.epoch_ttl_ms)
end
for _, job in ipairs(args.fenced) do
  redis.call('SADD', KEYS[6], job)
  redis.call('PEXPIRE', KEYS[6], args.epoch_ttl_ms)
end
if log and redis.call('EXISTS', log) == 0 then
  for i = 1, #args.log, 2 do
    redis.call('HSET', log, args.log[i], args.log[i + 1])
  end
  redis.call('HDEL', log, 'job')
  redis.call('HSET', log, 'moved_ms', now)
  for _, fact in ipairs(args.facts) do
    redis.call('RPUSH', facts, fact)
  end
  local sid, number = string.match(args.call, '^(.-)%.(%d+)$')
  redis.call('SET', PREFIX .. 'calls_in:' .. (sid or args.call), number or 1, 'PX', LOG_TTL_MS)
  redis.call('SET', PREFIX .. 'call_of:' .. args.room, args.call, 'PX', LOG_TTL_MS)
  add_fact(args.call, {e = 'other_version', reason = args.note})
  look_at(args.call, now + ENDS_AFTER_MS)
end
redis.call('ZADD', KEYS[1], args.joined_ms, args.room)
redis.call('ZADD', KEYS[2], now, args.room)
return 1
