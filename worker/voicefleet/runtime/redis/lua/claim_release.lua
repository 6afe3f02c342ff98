-- A job gives its claim back. KEYS: claim, held, ledger, changed, renewed. ARGV: room, job. Returns 1 when it was this job's.
local text = redis.call('GET', KEYS[1])
if text and cjson.decode(text).job == ARGV[2] then
  redis.call('DEL', KEYS[1])
  redis.call('HDEL', KEYS[2], ARGV[1])
  redis.call('HINCRBY', KEYS[3], 'released', 1)
  local t = redis.call('TIME')
  redis.call('ZADD', KEYS[4], t[1] * 1000 + math.floor(t[2] / 1000), ARGV[1])
  redis.call('ZREM', KEYS[5], ARGV[1])
  return 1
end
return 0
