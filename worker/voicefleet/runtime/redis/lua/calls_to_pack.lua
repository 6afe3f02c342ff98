-- Calls that ended a while ago, to be packed. KEYS: unpacked_calls. args: again_ms (so long they are left to whoever asked
-- first), most. Returns {id, ...}.
local now = now_ms()
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, args.most)
for _, id in ipairs(due) do
  redis.call('ZADD', KEYS[1], now + args.again_ms, id)
end
return due
