-- A worker reports. KEYS: workers, report, order. ARGV: worker, report, report_ttl_ms, channel, 1 to wake the controllers.
-- Returns the order that stands for this worker, or false.
local t = redis.call('TIME')
redis.call('ZADD', KEYS[1], t[1] * 1000 + math.floor(t[2] / 1000), ARGV[1])
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
if ARGV[5] == '1' then
  redis.call('PUBLISH', ARGV[4], ARGV[1])
end
return redis.call('GET', KEYS[3])
