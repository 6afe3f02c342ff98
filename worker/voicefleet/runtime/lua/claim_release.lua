-- A job gives its claim back. KEYS: claim, held, ledger. ARGV: room, job. Returns 1 when it was this job's.
local text = redis.call('GET', KEYS[1])
if text and cjson.decode(text).job == ARGV[2] then
  redis.call('DEL', KEYS[1])
  redis.call('HDEL', KEYS[2], ARGV[1])
  redis.call('HINCRBY', KEYS[3], 'released', 1)
  return 1
end
return 0
