-- A worker wants the call in a room. KEYS: claim, epoch, fenced, handoff, held, ledger, changed.
-- ARGV: room, worker, job, room_sid, accepted_ttl_ms, epoch_ttl_ms, handoff_ttl_ms.
-- Returns {1, epoch}: the claim is now this job's. {2, epoch}: another job holds it and is to hand the call over; this one
-- is its successor now. {0, holder's claim or ''}: neither.
local room, worker, job = ARGV[1], ARGV[2], ARGV[3]
local text = redis.call('GET', KEYS[1])
if redis.call('SISMEMBER', KEYS[3], job) == 1 then
  return {0, text or ''}
end
if text then
  local claim = cjson.decode(text)
  if claim.job == job then
    return {1, claim.epoch}
  end
  local planned = redis.call('GET', KEYS[4])
  if planned then
    local handoff = cjson.decode(planned)
    local open = handoff.state == 'wanted' or handoff.to_job == job
    if open and handoff.from_job == claim.job and handoff.from_worker ~= worker then
      handoff.state, handoff.to_job, handoff.to_worker = 'accepted', job, worker
      redis.call('SET', KEYS[4], cjson.encode(handoff), 'PX', ARGV[7])
      return {2, claim.epoch}
    end
  end
  return {0, text}
end
local epoch = redis.call('INCR', KEYS[2])
redis.call('PEXPIRE', KEYS[2], ARGV[6])
redis.call('SET', KEYS[1], cjson.encode({v = 1, worker = worker, job = job, epoch = epoch, state = 'accepted',
  room_sid = ARGV[4], renewed_ms = 0, trouble = ''}), 'PX', ARGV[5])
redis.call('DEL', KEYS[4])
if redis.call('HGET', KEYS[5], room) then
  redis.call('HINCRBY', KEYS[6], 'expired', 1)
end
redis.call('HSET', KEYS[5], room, job)
redis.call('HINCRBY', KEYS[6], 'opened', 1)
local t = redis.call('TIME')
redis.call('ZADD', KEYS[7], t[1] * 1000 + math.floor(t[2] / 1000), room)
return {1, epoch}
