-- Jobs whose agents are being removed from a room must never hold its call again. KEYS: claim, epoch, fenced.
-- ARGV: epoch_ttl_ms, job, ... Returns 1 when they are fenced; 0 when one of them holds the claim, and nothing is changed.
local text = redis.call('GET', KEYS[1])
if text then
  local holder = cjson.decode(text).job
  for i = 2, #ARGV do
    if ARGV[i] == holder then
      return 0
    end
  end
end
for i = 2, #ARGV do
  redis.call('SADD', KEYS[3], ARGV[i])
end
redis.call('PEXPIRE', KEYS[3], ARGV[1])
redis.call('INCR', KEYS[2])
redis.call('PEXPIRE', KEYS[2], ARGV[1])
return 1
