-- A job stores what its call was about, or deletes it. KEYS: claim, fenced, transcript, transcript_of.
-- ARGV: job, transcript or '', ttl_ms.
-- Returns 1 when done; 0 when the call is another job's: a job that wakes late must not write over its successor's.
local text = redis.call('GET', KEYS[1])
local claim = text and cjson.decode(text)
if redis.call('SISMEMBER', KEYS[2], ARGV[1]) == 1 or (claim and claim.job ~= ARGV[1]) then
  return 0
end
if ARGV[2] == '' then
  redis.call('DEL', KEYS[3], KEYS[4])
else
  redis.call('SET', KEYS[3], ARGV[2], 'PX', ARGV[3])
  redis.call('SET', KEYS[4], claim and claim.room_sid or '', 'PX', ARGV[3])
end
return 1
