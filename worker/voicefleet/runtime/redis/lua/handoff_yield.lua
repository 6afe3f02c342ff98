-- The holder, silent by now, gives the call to its ready successor. KEYS: claim, epoch, fenced, handoff, held, ledger,
-- changed, renewed.
-- ARGV: room, job, live_ttl_ms, epoch_ttl_ms, prefix of the jobs' channels.
-- Returns {1, successor's job}: done, this job must leave. {0, ''}: nobody is ready, it keeps the call. {-1, ''}: the
-- call is not this job's any more.
local room, job = ARGV[1], ARGV[2]
local text = redis.call('GET', KEYS[1])
if redis.call('SISMEMBER', KEYS[3], job) == 1 or (text and cjson.decode(text).job ~= job) then
  return {-1, ''}
end
local planned = redis.call('GET', KEYS[4])
if not text or not planned then
  return {0, ''}
end
local claim, handoff = cjson.decode(text), cjson.decode(planned)
if handoff.state ~= 'ready' or handoff.from_job ~= job then
  return {0, ''}
end
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local epoch = math.max(claim.epoch, tonumber(redis.call('GET', KEYS[2]) or '0')) + 1
redis.call('SET', KEYS[2], epoch, 'PX', ARGV[4])
redis.call('SET', KEYS[1], cjson.encode({v = 1, worker = handoff.to_worker, job = handoff.to_job, epoch = epoch,
  state = 'live', room_sid = claim.room_sid, renewed_ms = now, trouble = ''}), 'PX', ARGV[3])
redis.call('ZADD', KEYS[7], now, room)
redis.call('ZADD', KEYS[8], now, room)
redis.call('SADD', KEYS[3], job)
redis.call('PEXPIRE', KEYS[3], ARGV[4])
redis.call('DEL', KEYS[4])
redis.call('HSET', KEYS[5], room, handoff.to_job)
redis.call('HINCRBY', KEYS[6], 'opened', 1)
redis.call('HINCRBY', KEYS[6], 'handed_over', 1)
redis.call('PUBLISH', ARGV[5] .. handoff.to_job, 'handoff')
return {1, handoff.to_job}
