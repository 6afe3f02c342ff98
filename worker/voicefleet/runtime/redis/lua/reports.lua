-- A part of the workers that reported, and the orders that stand for them. KEYS: workers.
-- args: report_prefix, order_prefix, forget_after_ms (a silent worker is forgotten then), cursor ('0': the first part),
-- part (about how many workers).
-- Returns {now_ms, next cursor (0: that was all), {worker, time of its report, report or '', order or ''}, ...}. A worker
-- may come twice; whoever is there from the first part to the last comes at least once.
local now = now_ms()
if args.cursor == '0' then
  redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. (now - args.forget_after_ms))
end
local found = redis.call('ZSCAN', KEYS[1], args.cursor, 'COUNT', args.part)
local workers, reports, orders = found[2], {}, {}
local out = {tostring(now), found[1]}
if #workers == 0 then
  return out
end
for i = 1, #workers, 2 do
  reports[#reports + 1] = args.report_prefix .. workers[i]
  orders[#orders + 1] = args.order_prefix .. workers[i]
end
reports, orders = redis.call('MGET', unpack(reports)), redis.call('MGET', unpack(orders))
for i = 1, #workers, 2 do
  local n = (i + 1) / 2
  out[#out + 1] = {workers[i], workers[i + 1], reports[n] or '', orders[n] or ''}
end
return out
