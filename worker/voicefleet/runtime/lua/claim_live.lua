-- A job is in the room and takes, or renews, its claim. KEYS: claim, epoch.
-- ARGV: worker, job, room_sid, epoch it was accepted with (0: accepted while Redis was away), live_ttl_ms, epoch_ttl_ms.
-- Returns the epoch it holds, or 0: another job holds the call or has held it since, and this one must leave.
local held = redis.call('GET', KEYS[1])
local mine = tonumber(ARGV[4])
if held then
  local claim = cjson.decode(held)
  if claim.job ~= ARGV[2] then
    return 0
  end
  mine = claim.epoch
else
  local last = tonumber(redis.call('GET', KEYS[2]) or '0')
  if mine == 0 then
    mine = last + 1
  elseif last > mine then
    return 0
  end
end
redis.call('SET', KEYS[2], mine, 'PX', ARGV[6])
redis.call('SET', KEYS[1], cjson.encode({v = 1, worker = ARGV[1], job = ARGV[2], epoch = mine,
  state = 'live', room_sid = ARGV[3]}), 'PX', ARGV[5])
return mine
