-- Jobs whose agents are being removed from a room must never hold its call again. KEYS: claim, epoch, fenced.
-- args: jobs, epoch_ttl_ms. Returns 1 when they are fenced; 0 when one of them holds the claim, or may hold it, and
-- nothing is changed.
local claim = read_claim(redis.call('GET', KEYS[1]))
if claim then
  for _, job in ipairs(args.jobs) do
    if job == claim.job or claim.state == 'unknown' then
      return 0
    end
  end
end
for _, job in ipairs(args.jobs) do
  redis.call('SADD', KEYS[3], job)
end
redis.call('PEXPIRE', KEYS[3], args.epoch_ttl_ms)
redis.call('INCR', KEYS[2])
redis.call('PEXPIRE', KEYS[2], args.epoch_ttl_ms)
return 1
