-- The row for the month after the newest that had ended by the slot, from the sales of ended months alone.
-- A month ends at midnight in Sydney, whatever time zone the session has. A month that is missing leaves its lag null,
-- for which the row is rejected; lag() over rows would take the month before it instead.
with ended as (
    select month, sales
    from sales
    where (month + interval '1 month') at time zone 'Australia/Sydney' <= :slot_end
),
target as (
    select max(month) + interval '1 month' as month
    from ended
    having count(*) > 0
)
select
    to_char(target.month, 'YYYY-MM-DD') as month,
    max(sales) filter (where ended.month = target.month - interval '1 month') as lag_1,
    max(sales) filter (where ended.month = target.month - interval '2 months') as lag_2,
    max(sales) filter (where ended.month = target.month - interval '3 months') as lag_3,
    max(sales) filter (where ended.month = target.month - interval '4 months') as lag_4,
    max(sales) filter (where ended.month = target.month - interval '5 months') as lag_5,
    max(sales) filter (where ended.month = target.month - interval '6 months') as lag_6,
    max(sales) filter (where ended.month = target.month - interval '7 months') as lag_7,
    max(sales) filter (where ended.month = target.month - interval '8 months') as lag_8,
    max(sales) filter (where ended.month = target.month - interval '9 months') as lag_9,
    max(sales) filter (where ended.month = target.month - interval '10 months') as lag_10,
    max(sales) filter (where ended.month = target.month - interval '11 months') as lag_11,
    max(sales) filter (where ended.month = target.month - interval '12 months') as lag_12,
    cast(extract(month from target.month) as bigint) as month_of_year
from target cross join ended
group by target.month
