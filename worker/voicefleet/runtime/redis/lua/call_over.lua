-- Calls of a key are over. KEYS: the key's calls, those of them that are over. args: members (region/room), kept_s
-- (seconds for which they are remembered).
local now = tonumber(redis.call('TIME')[1])
for _, member in ipairs(args.members) do
  redis.call('ZREM', KEYS[1], member)
  redis.call('ZADD', KEYS[2], now, member)
end
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - args.kept_s)
redis.call('EXPIRE', KEYS[2], args.kept_s)
return 1
