-- A call is over. KEYS: open_calls, callers, past_calls, unpacked_calls. args: id, claim_prefix, at_ms (of its end), reason,
-- event (data of its last event), kept_ms (for which it is kept), most (past calls that are kept), pack_after_ms. The
-- oldest past calls make room. Returns 1 when it ended now; 0: it had, or its caller is back.
local MOST_FORGOTTEN = 100
local log = log_of(args.id)
local known = redis.call('HMGET', log, 'room', 'over_ms', 'ended_ms', 'opened_ms')
local room = known[1]
if not room or known[3] then
  redis.call('ZREM', KEYS[1], args.id)
  return 0
end
if not known[2] and (redis.call('EXISTS', args.claim_prefix .. room) == 1 or redis.call('ZSCORE', KEYS[2], room)) then
  return 0
end
local now = now_ms()
add_event(args.id, 'call.ended', 'ended', args.event)
redis.call('HSET', log, 'ended_ms', args.at_ms, 'reason', args.reason)
redis.call('ZREM', KEYS[1], args.id)
redis.call('ZADD', KEYS[3], known[4], args.id)
redis.call('ZADD', KEYS[4], now + args.pack_after_ms, args.id)
local kept = {log, PREFIX .. 'call_facts:' .. args.id, KEYS[3], KEYS[4]}
if call_in(room, '') == args.id then
  kept[#kept + 1] = PREFIX .. 'call_of:' .. room
end
for _, key in ipairs(kept) do
  redis.call('PEXPIRE', key, args.kept_ms)
end

local function forget(id)
  local past = PREFIX .. 'past_call:' .. id
  local text = redis.call('GET', past)
  local value = text and read_value(text)
  local name = value and value.room or redis.call('HGET', log_of(id), 'room')
  if name and call_in(name, '') == id then
    redis.call('DEL', PREFIX .. 'call_of:' .. name)
  end
  redis.call('DEL', past, log_of(id), PREFIX .. 'call_facts:' .. id)
end

redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now - args.kept_ms - LOG_TTL_MS)
local over = redis.call('ZCARD', KEYS[3]) - args.most
if over > 0 then
  local oldest = redis.call('ZPOPMIN', KEYS[3], math.min(over, MOST_FORGOTTEN))
  for i = 1, #oldest, 2 do
    forget(oldest[i])
  end
end
return 1
