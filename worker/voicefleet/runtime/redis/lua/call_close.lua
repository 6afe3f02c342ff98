-- A call is over. KEYS: open_calls, callers. args: id, claim_prefix, at_ms (of its end), reason, event (data of its last
-- event), kept_ms (for which its history is kept). Returns 1 when it ended now; 0: it had, or its caller is back.
local log = log_of(args.id)
local known = redis.call('HMGET', log, 'room', 'over_ms', 'ended_ms')
local room = known[1]
if not room or known[3] then
  redis.call('ZREM', KEYS[1], args.id)
  return 0
end
if not known[2] and (redis.call('EXISTS', args.claim_prefix .. room) == 1 or redis.call('ZSCORE', KEYS[2], room)) then
  return 0
end
add_event(args.id, 'call.ended', 'ended', args.event)
redis.call('HSET', log, 'ended_ms', args.at_ms, 'reason', args.reason)
redis.call('ZREM', KEYS[1], args.id)
for _, key in ipairs({log, PREFIX .. 'call_facts:' .. args.id}) do
  redis.call('PEXPIRE', key, args.kept_ms)
end
return 1
