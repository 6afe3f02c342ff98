-- Take the first waiting call of the queue that has no dispatch under way. KEYS: waiting, inflight.
-- ARGV: claim key prefix, free slots, dispatch_ttl_ms. At most `free slots` dispatches are under way at once, whoever
-- asks, so controller replicas never promise one slot twice. Returns {room, rank} or false.
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
if redis.call('ZCARD', KEYS[2]) >= tonumber(ARGV[2]) then
  return false
end
local waiting = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
for i = 1, #waiting, 2 do
  local room = waiting[i]
  if not redis.call('ZSCORE', KEYS[2], room) and redis.call('EXISTS', ARGV[1] .. room) == 0 then
    redis.call('ZADD', KEYS[2], now + tonumber(ARGV[3]), room)
    return {room, waiting[i + 1]}
  end
end
return false
