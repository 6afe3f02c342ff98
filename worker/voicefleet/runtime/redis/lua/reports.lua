-- A part of the workers that reported, and the orders that stand for them. KEYS: workers.
-- ARGV: report key prefix, order key prefix, ms after which a silent worker is forgotten, cursor (0: the first part), how
-- many workers about.
-- Returns {now_ms, next cursor (0: that was all), {worker, time of its report, report or '', order or ''}, ...}. A worker
-- may come twice; whoever is there from the first part to the last comes at least once.
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
if ARGV[4] == '0' then
  redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. (now - tonumber(ARGV[3])))
end
local found = redis.call('ZSCAN', KEYS[1], ARGV[4], 'COUNT', ARGV[5])
local workers, reports, orders = found[2], {}, {}
local out = {tostring(now), found[1]}
if #workers == 0 then
  return out
end
for i = 1, #workers, 2 do
  reports[#reports + 1] = ARGV[1] .. workers[i]
  orders[#orders + 1] = ARGV[2] .. workers[i]
end
reports, orders = redis.call('MGET', unpack(reports)), redis.call('MGET', unpack(orders))
for i = 1, #workers, 2 do
  local n = (i + 1) / 2
  out[#out + 1] = {workers[i], workers[i + 1], reports[n] or '', orders[n] or ''}
end
return out
