-- A job is in the room and takes, or renews, its claim. KEYS: claim, epoch, fenced, handoff, held, ledger,
-- changed, renewed.
-- ARGV: room, worker, job, room_sid, epoch it was accepted with (0: accepted while Redis was away), live_ttl_ms,
-- epoch_ttl_ms, trouble (what the job finds wrong with its own call, or '').
-- Returns {epoch, handoff or ''}; epoch 0: another job holds the call or has held it since, and this one must leave.
-- The handoff is the one this job is to make.
local room, worker, job = ARGV[1], ARGV[2], ARGV[3]
if redis.call('SISMEMBER', KEYS[3], job) == 1 then
  return {0, ''}
end
local text = redis.call('GET', KEYS[1])
local mine = tonumber(ARGV[5])
local renewal = false
if text then
  local claim = cjson.decode(text)
  if claim.job ~= job then
    return {0, ''}
  end
  mine = claim.epoch
  renewal = claim.state == 'live' and claim.trouble == ARGV[8]
else
  -- Whoever opened a claim last may have it again. Another one that knows an epoch may not while that one has not closed
  -- its own: it was this one's successor, or claimed the call before it.
  local last = tonumber(redis.call('GET', KEYS[2]) or '0')
  local before = redis.call('HGET', KEYS[5], room)
  if before ~= job and mine > 0 and (before or last > mine) then
    return {0, ''}
  end
  mine = math.max(mine, before == job and last or last + 1, 1)
  if before ~= job then
    if before then
      redis.call('HINCRBY', KEYS[6], 'expired', 1)
    end
    redis.call('HSET', KEYS[5], room, job)
    redis.call('HINCRBY', KEYS[6], 'opened', 1)
  end
end
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('SET', KEYS[2], mine, 'PX', ARGV[7])
redis.call('SET', KEYS[1], cjson.encode({v = 1, worker = worker, job = job, epoch = mine, state = 'live',
  room_sid = ARGV[4], renewed_ms = now, trouble = ARGV[8]}), 'PX', ARGV[6])
redis.call('ZADD', KEYS[8], now, room)
if not renewal then
  redis.call('ZADD', KEYS[7], now, room)
end
local planned = redis.call('GET', KEYS[4])
if planned and cjson.decode(planned).from_job == job then
  return {mine, planned}
end
return {mine, ''}
