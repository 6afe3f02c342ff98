-- A worker wants the call in a room. KEYS: claim, epoch. ARGV: worker, job, room_sid, accepted_ttl_ms, epoch_ttl_ms.
-- Returns {1, epoch} when the claim is now this job's, {0, holder's claim} when another job holds it.
local held = redis.call('GET', KEYS[1])
if held then
  local claim = cjson.decode(held)
  if claim.job ~= ARGV[2] then
    return {0, held}
  end
  return {1, claim.epoch}
end
local epoch = redis.call('INCR', KEYS[2])
redis.call('PEXPIRE', KEYS[2], ARGV[5])
redis.call('SET', KEYS[1], cjson.encode({v = 1, worker = ARGV[1], job = ARGV[2], epoch = epoch,
  state = 'accepted', room_sid = ARGV[3]}), 'PX', ARGV[4])
return {1, epoch}
