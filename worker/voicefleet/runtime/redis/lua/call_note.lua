-- A controller notes something of the open calls in some rooms. KEYS: open_calls. args: rooms, fact ({e, ...}), state (said
-- once, until another one is). Returns how many calls it was noted of.
local count = 0
for _, room in ipairs(args.rooms) do
  if note.said(room, args.fact, args.state) then
    count = count + 1
  end
end
return count
