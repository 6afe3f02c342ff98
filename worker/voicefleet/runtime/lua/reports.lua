-- The workers that reported, and the orders that stand for them. KEYS: workers.
-- ARGV: report key prefix, order key prefix, ms after which a silent worker is forgotten.
-- Returns {now_ms, {worker, time of its report, report or '', order or ''}, ...}.
local AT_ONCE = 1000
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. (now - tonumber(ARGV[3])))
local out = {tostring(now)}
local workers = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
for from = 1, #workers, 2 * AT_ONCE do
  local last, reports, orders = math.min(#workers, from + 2 * AT_ONCE - 1), {}, {}
  for i = from, last, 2 do
    reports[#reports + 1] = ARGV[1] .. workers[i]
    orders[#orders + 1] = ARGV[2] .. workers[i]
  end
  reports, orders = redis.call('MGET', unpack(reports)), redis.call('MGET', unpack(orders))
  for i = from, last, 2 do
    local n = (i - from) / 2 + 1
    out[#out + 1] = {workers[i], workers[i + 1], reports[n] or '', orders[n] or ''}
  end
end
return out
