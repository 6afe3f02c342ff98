-- Calls of a key are over. KEYS: the key's calls, those of them that are over. ARGV: seconds for which they are
-- remembered, then members (region/room).
local now = tonumber(redis.call('TIME')[1])
for i = 2, #ARGV do
  redis.call('ZREM', KEYS[1], ARGV[i])
  redis.call('ZADD', KEYS[2], now, ARGV[i])
end
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - tonumber(ARGV[1]))
redis.call('EXPIRE', KEYS[2], ARGV[1])
return 1
