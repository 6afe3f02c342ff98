-- Bring the queue up to date with callers and claims. KEYS: callers, waiting, inflight.
-- ARGV: claim key prefix, grace_ms, call key prefix, ms of waiting that one level of priority is worth.
-- A caller without a claim for longer than the grace is a waiting call. Its rank is the time it joined, less its
-- priority: it stays as it is, so that whoever waits longer overtakes every later one in the end.
-- Returns {now_ms, {room, joined_ms, rank or '', claim or '', served}, ...}: every call there is, as one snapshot.
-- `served` is the rank a call waited with when this very scan found its claim, else '': one scan of one replica sees it.
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local function priority(room)
  local text = redis.call('GET', ARGV[3] .. room)
  if not text then
    return 0
  end
  local readable, call = pcall(cjson.decode, text)
  local level = readable and type(call) == 'table' and tonumber(call.priority) or 0
  return math.max(0, math.min(9, level))
end
local out = {tostring(now)}
local callers = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
for i = 1, #callers, 2 do
  local room, joined = callers[i], tonumber(callers[i + 1])
  local claim = redis.call('GET', ARGV[1] .. room)
  local rank = redis.call('ZSCORE', KEYS[2], room)
  local served = ''
  if claim then
    if rank then
      served = rank
      redis.call('ZREM', KEYS[2], room)
      rank = false
    end
    redis.call('ZREM', KEYS[3], room)
  elseif not rank and now - joined >= tonumber(ARGV[2]) then
    rank = tostring(joined - priority(room) * tonumber(ARGV[4]))
    redis.call('ZADD', KEYS[2], rank, room)
  end
  out[#out + 1] = {room, tostring(joined), rank or '', claim or '', served}
end
for _, room in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do
  if not redis.call('ZSCORE', KEYS[1], room) then
    redis.call('ZREM', KEYS[2], room)
    redis.call('ZREM', KEYS[3], room)
  end
end
return out
